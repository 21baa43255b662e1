"""One request and its response, whichever version of HTTP carries them (ASGI HTTP spec 2.3).

Belongs to its stream, on the connection's loop thread; `send` alone may be awaited on any other thread too. It owns
what has arrived of the request's body and knows how far the response has come; it never parses, and never frames.
"""

import asyncio
import logging
from asyncio import _get_running_loop, sleep
from collections.abc import Coroutine
from time import perf_counter
from typing import Any, BinaryIO, Protocol

from threadserve.errors import ClientDisconnected
from threadserve.http.access import make_entry, make_facts, queue_seconds
from threadserve.http.completed_send import ASYNCIO_COROUTINE_MARKER, INSPECT_COROUTINE_MARKER
from threadserve.http.context import LoopContext
from threadserve.http.fields import LENGTH_UNKNOWN, check_field, check_final_status, copy_body, has_token
from threadserve.http.files import open_regular
from threadserve.http.head import HTTP_1_0, RequestHead, ResponseHead
from threadserve.http.request_body import RequestBody
from threadserve.http.scope import CANCEL_ON_DISCONNECT, format_path, format_target
from threadserve.http.states import (
    ABORTED,
    BODY,
    BODY_COMPLETE,
    BODY_EXPECTED,
    COMPLETE,
    DISCARDING,
    DISCONNECTED,
    HEAD_HELD,
    HEAD_SENT,
    NOT_STARTED,
    TRAILERS,
)
from threadserve.http.stream import Stream
from threadserve.metrics.states import RunningCall
from threadserve.types import Message, Send

logger = logging.getLogger("threadserve.error")

WHEN = {
    NOT_STARTED: "while awaiting 'http.response.start'",
    HEAD_HELD: "after 'http.response.start'",
    HEAD_SENT: "after 'http.response.start'",
    BODY: "while awaiting 'http.response.body'",
    TRAILERS: "while awaiting 'http.response.trailers'",
    COMPLETE: "after the response was complete",
}

# Parts in a row for a client that has gone, before a stream that seems never to wait lets others have their turn.
LET_GO_AT_ONCE = 100
# In the access log, the status of a request that got no response: its client had left, or the server was stopping.
NO_RESPONSE = 499


class ExchangeListener(Protocol):
    """Who else has to know what becomes of an exchange."""

    def on_client_gone(self) -> None:
        """The client takes nothing any more."""
        ...

    def on_cancelled(self) -> None:
        """The server waits no longer for the application."""
        ...


class Exchange:
    """A request in flight. The application gets its `receive` and its `send`; see `states` for how far either is.

    `disconnect_listeners` counts in how many ways, other than by `send`, the application hears when its client goes;
    `is_logged` says whether the access log is to have a line, and `environ` holds what that tells of a WSGI environ.
    `task` is what runs the application, once that has to wait.
    """

    __slots__ = (
        "_bodyless",
        "_cancels",
        "_changed",
        "_has_ended",
        "_is_given",
        "_is_late",
        "_let_go",
        "_loop",
        "_remaining",
        "_trails",
        "_wants_trailers",
        "body",
        "bytes_sent",
        "context",
        "disconnect_listeners",
        "environ",
        "first_byte_at",
        "head",
        "is_cancelled",
        "is_logged",
        "listener",
        "request_state",
        "response_state",
        "scope",
        "started_at",
        "status",
        "stream",
        "task",
    )

    _is_coroutine = ASYNCIO_COROUTINE_MARKER
    _is_coroutine_marker = INSPECT_COROUTINE_MARKER

    # Of the response: known from its start on.
    _bodyless: bool
    _trails: bool
    _wants_trailers: bool

    def __init__(self, stream: Stream, context: LoopContext, head: RequestHead, scope: dict[str, Any]) -> None:
        self.stream = stream
        self.context = context
        self.head = head
        self.scope = scope
        self.task: asyncio.Task[None] | None = None
        self.listener: ExchangeListener | None = None
        self.body: RequestBody | None = None
        self.request_state = BODY_COMPLETE
        self.response_state = NOT_STARTED
        self.status = 0
        self.bytes_sent = 0
        self.started_at = perf_counter()
        # Of a response that is sent at once, the end is its first byte.
        self.first_byte_at = 0.0
        self.disconnect_listeners = 0
        self.is_cancelled = False
        self.is_logged = True
        self._loop = context.loop
        self._is_given = False
        self._remaining = LENGTH_UNKNOWN
        self._changed: asyncio.Event | None = None
        self._is_late = False
        # Whether the application's task is cancelled when the client goes.
        self._cancels = context.cancel_on_disconnect
        # Whether the application has sent the end of its response, though nobody gets it.
        self._has_ended = False
        self._let_go = 0
        self.environ: tuple[bytes | None, ...] = ()
        if head.framing.has_body:
            self.request_state = BODY_EXPECTED
            self.body = RequestBody(context.bounds.body_buffer_bytes, head.framing.expects_continue)

    # Questions.

    def can_still_answer(self) -> bool:
        """Whether nothing of the response has been sent, so that another may take its place."""
        return self.response_state == NOT_STARTED or self.response_state == HEAD_HELD

    def is_over(self) -> bool:
        """Whether the response is at its end, complete or not."""
        return self.response_state == COMPLETE or self.response_state == ABORTED

    def is_response_pending(self) -> bool:
        """Whether the application has not sent the whole of its response, be it to nobody."""
        return self.response_state != COMPLETE and not self._has_ended

    def is_awaiting_body(self) -> bool:
        """Whether it is the client's turn to send more of the body."""
        body = self.body
        if self.request_state != BODY_EXPECTED or body is None:
            return False
        return body.has_room() and not body.awaits_continue

    # From the client to the application.

    async def receive(self) -> Message:
        """Returns the next part of the body, or `http.disconnect` once the client or the response is at its end."""
        if not self._is_given:
            body = self.body
            if body is None:
                self._is_given = True
                return {"type": "http.request", "body": b"", "more_body": False}
            if not body.size and not body.is_complete:
                await self._wait_for_body(body)
            if body.size or body.is_complete:
                return self._take(body)
        while self.request_state != DISCONNECTED and not self.is_over():
            await self._wait()
        if not self.is_over():
            # A client that sends no more may still read. An application that asks is told all the same that it has
            # gone, and from then on it has.
            self.response_state = ABORTED
            self.stream.reset()
            # Before anyone is told, who may cancel a stream: one that waits in `send` is to get out of it.
            self.stream.flow.release_writers()
            await sleep(0)
        self.disconnect_listeners += 1
        return {"type": "http.disconnect"}

    def take_complete_body(self) -> bytes | None:
        """The request's body, if all of it has arrived and none of it has been asked for; else None."""
        body = self.body
        if self._is_given or body is None or not body.is_complete or not body.has_room():
            return None
        self._is_given = True
        return body.take()

    def _take(self, body: RequestBody) -> Message:
        self._is_given = body.is_complete
        was_full = not body.has_room()
        data = body.take()
        if was_full:
            self.stream.resume_reading()
        return {"type": "http.request", "body": data, "more_body": not self._is_given}

    async def _wait_for_body(self, body: RequestBody) -> None:
        if body.awaits_continue and self.can_still_answer():
            body.awaits_continue = False
            self.stream.send_informational(100, ())
        while not body.size and not body.is_complete and self.request_state != DISCONNECTED and not self.is_over():
            await self._wait()

    async def _wait(self) -> None:
        if self._changed is None:
            self._changed = asyncio.Event()
        self._changed.clear()
        self.disconnect_listeners += 1
        try:
            await self._changed.wait()
        finally:
            self.disconnect_listeners -= 1

    def _wake(self) -> None:
        """Lets a waiting `receive` look again."""
        if self._changed is not None:
            self._changed.set()

    def feed(self, data: bytes, more: bool) -> bool:
        """Takes a part of the request's body from the stream; `more` says whether the request goes on.

        Returns False when too much of it has been thrown away because the response is complete already. Raises
        `HTTPError` where it is longer than a body may be.
        """
        body = self.body
        if body is None:
            return True
        if self.request_state == DISCARDING:
            body.discarded += len(data)
            return body.discarded <= self.context.bounds.max_discard_bytes
        body.awaits_continue = False
        self.context.check_body_length(body.received + len(data))
        body.put(data, more)
        if not more and self.request_state == BODY_EXPECTED:
            self.request_state = BODY_COMPLETE
        if not body.has_room():
            self.stream.pause_reading()
        self._wake()
        return True

    def discard_body(self) -> None:
        """The response is complete: what is left of the request's body is read past."""
        self.request_state = DISCARDING
        if self.body is not None:
            self.body.take()
        self.stream.resume_reading()

    def refuse(self, status: int) -> None:
        """The request cannot be served any further: the client has got this answer, or none if one had begun."""
        if self.can_still_answer():
            self.status = status
        self.measure()
        self.log_access()
        self.is_logged = False
        self.disconnect(gone=True)

    def disconnect(self, *, gone: bool) -> None:
        """The client sends no more; with `gone` it receives no more either."""
        self.request_state = DISCONNECTED
        if gone and self.response_state != COMPLETE:
            self.response_state = ABORTED
        self._wake()
        if self.listener is not None:
            if gone:
                self.listener.on_client_gone()
        elif self._cancels:
            self._look_for_client()

    def _look_for_client(self) -> None:
        """Cancels the application's task if the client has gone, or once that turns out."""
        if not self.is_response_pending():
            return
        if self.response_state == ABORTED:
            # Not at once: its task may not have begun, and would then never end.
            self._loop.call_soon(self._cancel_abandoned)
        else:
            self.stream.probe_client()

    def _cancel_abandoned(self) -> None:
        is_abandoned = self.response_state == ABORTED and self.is_response_pending()
        if is_abandoned and self._cancels and not self.is_cancelled:
            self.cancel()

    # From the application to the client.

    @property
    def send(self) -> Send:
        """The application's `send`: the exchange itself, which says that it is a coroutine function."""
        return self

    def __call__(self, message: Message) -> Coroutine[Any, Any, None]:
        """Takes the application's next message; to be awaited until the client has room for more, on any thread.

        What comes once the client has gone is let go, see `_send_to_nobody`. Raises `RuntimeError` for a message out of
        turn or a body that does not fit its content-length, `ValueError` and `TypeError` for headers that would break
        the response, and `ClientDisconnected` to end a stream that would go on for ever.
        """
        if _get_running_loop() is not self._loop:
            return self.context.cross_thread.on_loop(self._send, message)
        kind = message["type"]
        state = self.response_state
        if kind == "http.response.body" and (state == HEAD_HELD or state == BODY or state == HEAD_SENT):
            if state != HEAD_HELD and self.stream.is_closing():
                # The loop has not had a turn to say so.
                self.response_state = ABORTED
                return self.context.cross_thread.on_loop(self._send_to_nobody, message)
            # Not by `get`: free-threaded 3.13 locks twice in it where another thread has made the message, and then
            # waits for itself.
            body = message["body"] if "body" in message else b""  # noqa: SIM401
            if type(body) is not bytes:
                body = copy_body(body)
            self.send_part(body, message["more_body"] if "more_body" in message else False)  # noqa: SIM401
            if self.stream.flow.write_paused:
                return self.context.cross_thread.on_loop(self._drain, message)
            return self.context.completed_send
        if state == NOT_STARTED and kind == "http.response.start":
            self.start(message)
            if not self.context.ticker.is_checking_heads:
                self.context.ticker.check_late_heads()
            return self.context.completed_send
        if kind == CANCEL_ON_DISCONNECT:
            return self.context.cross_thread.on_loop(self._choose_cancelling, message)
        return self.context.cross_thread.on_loop(
            self._send_to_nobody if state == ABORTED else self._send_extension, message
        )

    async def _send(self, message: Message) -> None:
        await self(message)

    async def _drain(self, message: Message) -> None:
        """Waits until the client has room; the message that was sent last is let go where the client goes instead."""
        await self.stream.flow.drain()
        if self.response_state == ABORTED:
            await self._send_to_nobody(message)

    def start(self, message: Message) -> None:
        """Takes the head of the response, which is held for the first of the body."""
        status = message["status"]
        if type(status) is not int:
            status = check_final_status(status)
        # Not by `get`: see `send`.
        fields = message["headers"] if "headers" in message else ()  # noqa: SIM401
        self._hold_head(status, self.stream.prepare_response(status, fields))
        if "trailers" in message and message["trailers"]:  # noqa: RUF019
            self._expect_trailers()

    def start_formatted(self, head: ResponseHead) -> None:
        """The same for a head that has been checked and formatted already."""
        self.stream.prepare_formatted(head)
        self._hold_head(head.status, head.length)

    def _hold_head(self, status: int, length: int) -> None:
        self.status = status
        self._remaining = length
        self._bodyless = status == 204 or status == 304 or self.head.method == "HEAD"
        self._wants_trailers = self._trails = False
        self.response_state = HEAD_HELD

    def _expect_trailers(self) -> None:
        """Trailers go to clients that say they take them (RFC 9110 section 6.5.1 and 10.1.4)."""
        self._wants_trailers = True
        if self.head.version != HTTP_1_0 and not self._bodyless and self._remaining < 0:
            self._trails = has_token(self.head.headers, b"te", b"trailers")
            if self._trails:
                self.stream.announce_trailers()

    def send_part(self, body: bytes, more: bool) -> None:
        """Sends a part of the body, and the head with the first of them."""
        if not self._bodyless:
            size = len(body)
            if self._remaining >= 0 and (more or size != self._remaining):
                self._count(size, more)
            self.bytes_sent += size
        if self.response_state == HEAD_HELD:
            if more:
                self.first_byte_at = perf_counter()
            self.stream.start_response(body, more)
        else:
            self.stream.send_body(body, more)
        if more:
            self.response_state = BODY
        elif self._trails:
            self.response_state = TRAILERS
        else:
            self._complete()

    def _count(self, size: int, more: bool) -> None:
        """Holds a body against its declared length, before any of it is written."""
        if size > self._remaining:
            raise RuntimeError("Response content longer than Content-Length")
        if not more and size < self._remaining:
            raise RuntimeError("Response content shorter than Content-Length")
        self._remaining -= size

    def _complete(self) -> None:
        self.response_state = COMPLETE
        if self.context.metrics is not None:
            self.measure()
        if self.context.access_log is not None:
            self.log_access()
        self.stream.end_response()
        if self._changed is not None:
            self._changed.set()

    def send_late_head(self) -> bool:
        """Asked again and again: sends a head alone that was held the last time too; returns whether one is held.

        Until its head comes, a client knows nothing of a stream whose first event may be long in coming.
        """
        if self.response_state != HEAD_HELD:
            return False
        if self._is_late:
            self.first_byte_at = perf_counter()
            self.stream.start_response(b"", True)
            self.response_state = HEAD_SENT
        self._is_late = True
        return True

    async def _send_to_nobody(self, message: Message) -> None:
        """Lets a message go whose client has gone: most applications complete their response and go on (ASGI HTTP spec
        2.3, "Disconnected Client").

        Raises `ClientDisconnected` where nothing else can end the application: it sends part after part of a body
        without a length, and does not hear of its client by `receive`.
        """
        kind = message["type"]
        if kind == "http.response.start":
            self.start(message)
            self.response_state = ABORTED
        elif kind == "http.response.body" and message.get("more_body", False):
            # The first may be the whole of it: middlewares send such a body with an empty end behind.
            if self._let_go and self._remaining < 0 and self._is_deaf():
                raise ClientDisconnected("the client has disconnected")
            self._let_go += 1
            # Who cancels a stream is to meet it where it waits for its next part, which ends it: within `send`, it
            # would be left to the garbage collector.
            if self._let_go > LET_GO_AT_ONCE:
                await sleep(0)
        elif kind == "http.response.body" or kind == "http.response.pathsend":
            self._has_ended = True

    def _is_deaf(self) -> bool:
        """Whether the application can learn only by `send` that its client has gone.

        Who sends in a task of its own, and loses that, may wait for it for ever.
        """
        is_own_task = self.task is None or asyncio.current_task() is self.task
        return is_own_task and not self.disconnect_listeners

    # ASGI extensions.

    async def _send_extension(self, message: Message) -> None:
        kind, state = message["type"], self.response_state
        if kind == "http.response.trailers" and state == TRAILERS:
            self._send_trailers(message)
        elif kind == "http.response.pathsend" and not self.context.pathsend:
            raise RuntimeError(f"{kind!r} was sent, which is only for servers that offer it: see --pathsend.")
        elif kind == "http.response.pathsend" and (state == HEAD_HELD or state == HEAD_SENT):
            await self._send_path(message["path"])
        elif kind == "http.response.early_hint":
            self._send_early_hint(message["links"])
        elif kind == "http.response.trailers" and state == COMPLETE and self._wants_trailers:
            # There was no place for them, which the application need not know.
            return
        else:
            raise RuntimeError(f"Unexpected ASGI message {kind!r} sent, {WHEN[state]}.")
        if self.stream.flow.write_paused:
            await self._drain(message)

    async def _choose_cancelling(self, message: Message) -> None:
        """Our own extension: the application says whether it is to be cancelled when its client goes."""
        cancels = message["cancel"]
        if type(cancels) is not bool:
            raise TypeError(f"'cancel' of {CANCEL_ON_DISCONNECT!r} is {cancels!r}, neither True nor False")
        self._cancels = cancels
        if cancels and self.request_state == DISCONNECTED:
            self._look_for_client()
            await sleep(0)

    def _send_trailers(self, message: Message) -> None:
        """ASGI extension `http.response.trailers`, RFC 9112 section 7.1.2."""
        more = message.get("more_trailers", False)
        self.stream.send_trailers(message.get("headers", ()), more)
        if not more:
            self._complete()

    def _send_early_hint(self, links: Any) -> None:
        """ASGI extension `http.response.early_hint`, RFC 8297. A hint that comes too late is let go."""
        fields = [check_field((b"link", link)) for link in links]
        if self.can_still_answer():
            self.stream.send_informational(103, fields)

    async def _send_path(self, path: str) -> None:
        """ASGI extension `http.response.pathsend`: the file is the whole body."""
        file, size = await open_regular(self._loop, path)
        with file:
            try:
                await self.send_file(file, 0, size)
            except ClientDisconnected:
                self.response_state = ABORTED

    async def send_file(self, file: BinaryIO, offset: int, size: int) -> None:
        """Sends the whole body, `size` bytes of a file from `offset` on. Raises `ClientDisconnected`."""
        if self.response_state == ABORTED or self.stream.is_closing():
            raise ClientDisconnected("the client has disconnected")
        if not self._bodyless:
            if self._remaining >= 0:
                self._count(size, more=False)
            self.bytes_sent = size
        self._trails = False
        # From here on another response cannot take its place.
        self.response_state = BODY
        if not self.first_byte_at:
            self.first_byte_at = perf_counter()
        await self.stream.send_file(file, offset, size)
        self._complete()

    # The end.

    def on_return(self) -> None:
        """The application has returned."""
        if self.response_state != COMPLETE and self.response_state != ABORTED:
            step = "starting" if self.response_state == NOT_STARTED else "completing"
            logger.error("ASGI callable returned without %s response.", step)
            self.fail()

    def fail(self) -> None:
        """Ends the exchange for the client: by a 500 while nothing has been written, else by the connection's end."""
        if self.is_cancelled:
            return
        if self.can_still_answer():
            self.answer(500, b"Internal Server Error")
        elif not self.is_over():
            self.stream.reset()

    def answer(self, status: int, text: bytes) -> None:
        """Answers with a text of our own, in place of what the application has, or has not, begun."""
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
        self.start({"status": status, "headers": headers})
        self.send_part(text, more=False)

    def cancel(self) -> None:
        """Cuts the application off."""
        self.is_cancelled = True
        if self.task is not None:
            self.task.cancel()
        if self.listener is not None:
            self.listener.on_cancelled()

    def time_out(self) -> None:
        """The application has had its time: answers 504, or breaks off what it has begun, and cuts it off."""
        if self.can_still_answer():
            self.answer(504, b"Gateway Timeout")
            self.is_logged = False
        elif not self.is_over():
            self.stream.reset()
        # What it still sends is for nobody.
        self.response_state = ABORTED
        self.stream.flow.release_writers()
        self._wake()
        self.cancel()

    def on_stream_closed(self) -> None:
        """The stream has ended: what the access log tells of a response that was not complete is what was sent."""
        if self.response_state != COMPLETE:
            if self.can_still_answer() or not self.status:
                self.status = NO_RESPONSE
            self.measure()
            self.log_access()
        self.disconnect(gone=True)

    # What is told of it.

    def to_running_call(self) -> RunningCall:
        """What it is, and for how long it has gone on. May be called on any thread."""
        return RunningCall(f"{self.head.method} {format_path(self.scope)}", perf_counter() - self.started_at)

    def describe(self) -> str:
        """What the log calls it: by its method and target, and for how long it has gone on."""
        return f"{self.head.method} {format_target(self.scope)} ({perf_counter() - self.started_at:.0f} s)"

    def measure(self) -> None:
        """Counts it, which is at its end, and notes it if it was slow."""
        metrics = self.context.metrics
        if metrics is None or not self.is_logged:
            return
        now = perf_counter()
        seconds = now - self.started_at
        first_byte = (self.first_byte_at or now) - self.started_at
        metrics.on_response(self.status, seconds, first_byte)
        if self.stream.peer.is_trusted:
            queued = queue_seconds(self.head.headers, seconds)
            if queued is not None:
                metrics.queue_time.add(queued)
        if seconds >= metrics.slow_seconds:
            target = format_target(self.scope)
            metrics.on_slow(f"{self.head.method} {target}", self.head.version, self.status, seconds, first_byte)

    def log_access(self) -> None:
        """Has the access log tell of it, which is at its end."""
        log = self.context.access_log
        if log is None or not self.is_logged:
            return
        format = log.format
        if format is None:
            log.add(make_entry(self.scope, self.stream.peer, self.status))
            return
        fields = self.stream.response_fields() if format.response_names and self.status != NO_RESPONSE else []
        seconds = perf_counter() - self.started_at
        first_byte = self.first_byte_at - self.started_at if self.first_byte_at else seconds
        is_queued = format.wants_queue_time and self.stream.peer.is_trusted
        queued = queue_seconds(self.head.headers, seconds) if is_queued else None
        times = seconds, first_byte, queued
        scope, thread = self.scope, self.context.thread
        log.add(make_facts(scope, self.status, self.bytes_sent, times, thread, format, fields, self.environ))
