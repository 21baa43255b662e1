"""One request and its response, in every version of HTTP (ASGI HTTP spec 2.3).

Belongs to its stream, on the connection's loop thread. It owns what has arrived of the request's body and the states of
both directions; it never parses, and never frames.
"""

import asyncio
import logging
from asyncio import sleep
from collections.abc import Iterable
from time import perf_counter
from typing import BinaryIO, Protocol

from threadserve.errors import ClientDisconnected
from threadserve.http.accounting import count_response, make_entry, make_facts
from threadserve.http.context import LoopContext
from threadserve.http.fields import LENGTH_UNKNOWN, has_token
from threadserve.http.head import HTTP_1_0, RequestHead, ResponseHead
from threadserve.http.request_body import RequestBody
from threadserve.http.scope import format_request_path, format_request_target
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
from threadserve.types import ConnectionScope, Field, Message

logger = logging.getLogger("threadserve.error")

# The access log's status of a request without a response: its client had left, or the server was stopping.
CLIENT_CLOSED_REQUEST = 499


class ExchangeListener(Protocol):
    """A WebSocket or a WSGI call, which has to know when its exchange is cut short."""

    def on_client_gone(self) -> None:
        """The client takes nothing any more."""
        ...

    def on_cancelled(self) -> None:
        """The server no longer waits for the application."""
        ...


class Exchange:
    """A request in flight; `states` has the states of either direction.

    With `wants_trailers` the application has announced some. `is_end_discarded` is true once the application has sent
    the end of its response, though nobody gets it. `disconnect_listeners` counts the ways, other than `send`, by which
    the application hears that its client has gone. With `is_logged` the access log gets a line, and `environ` has the
    values of a WSGI environ for that. `task` runs the application, once that has to wait.
    """

    __slots__ = (
        "_cancels_on_disconnect",
        "_has_no_content",
        "_is_body_delivered",
        "_is_head_late",
        "_sends_trailers",
        "_unsent_bytes",
        "_wakeup",
        "body",
        "bytes_sent",
        "context",
        "disconnect_listeners",
        "environ",
        "first_byte_at",
        "head",
        "is_cancelled",
        "is_end_discarded",
        "is_logged",
        "listener",
        "request_state",
        "response_state",
        "scope",
        "started_at",
        "status",
        "stream",
        "task",
        "wants_trailers",
    )

    # Set when the response starts.
    _has_no_content: bool
    _sends_trailers: bool
    wants_trailers: bool

    def __init__(self, stream: Stream, context: LoopContext, head: RequestHead, scope: ConnectionScope) -> None:
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
        # Stays 0 for a response that is sent in one part.
        self.first_byte_at = 0.0
        self.disconnect_listeners = 0
        self.is_cancelled = False
        self.is_end_discarded = False
        self.is_logged = True
        self._is_body_delivered = False
        self._unsent_bytes = LENGTH_UNKNOWN
        self._wakeup: asyncio.Event | None = None
        self._is_head_late = False
        # With this, the application's task is cancelled when the client goes.
        self._cancels_on_disconnect = context.cancel_on_disconnect
        self.environ: tuple[bytes | None, ...] = ()
        if head.framing.has_body:
            self.request_state = BODY_EXPECTED
            self.body = RequestBody(context.bounds.body_buffer_bytes, head.framing.expects_continue)

    # States.

    def can_still_answer(self) -> bool:
        """Return whether nothing of the response has been sent, so that another may take its place."""
        return self.response_state == NOT_STARTED or self.response_state == HEAD_HELD

    def is_over(self) -> bool:
        """Return whether the response has ended, complete or not."""
        return self.response_state == COMPLETE or self.response_state == ABORTED

    def is_response_pending(self) -> bool:
        """Return whether the application has not sent the whole of its response, even if the client has gone."""
        return self.response_state != COMPLETE and not self.is_end_discarded

    def is_awaiting_body(self) -> bool:
        """Return whether it is the client's turn to send more of the body."""
        body = self.body
        if self.request_state != BODY_EXPECTED or body is None:
            return False
        return body.has_room() and not body.awaits_continue

    # From the client to the application.

    async def receive(self) -> Message:
        """Return the next part of the body, or `http.disconnect` once the client has gone or the response has ended."""
        if not self._is_body_delivered:
            body = self.body
            if body is None:
                self._is_body_delivered = True
                return {"type": "http.request", "body": b"", "more_body": False}
            if not body.size and not body.is_complete:
                await self._wait_for_body(body)
            if body.size or body.is_complete:
                return self._take_body(body)
        while self.request_state != DISCONNECTED and not self.is_over():
            await self._wait()
        if not self.is_over():
            # A client that sends no more may still read. An application that asks is told that it has gone all the
            # same, so from then on the client is taken to have gone.
            self.response_state = ABORTED
            self.stream.reset()
            # Before the application hears of it, which may cancel a stream: one that waits in `send` has to leave it.
            self.stream.flow.release_writers()
            await sleep(0)
        self.disconnect_listeners += 1
        return {"type": "http.disconnect"}

    def take_complete_body(self) -> bytes | None:
        """Return the request's body if all of it has arrived and none of it has been asked for; else None."""
        body = self.body
        if self._is_body_delivered or body is None or not body.is_complete or not body.has_room():
            return None
        self._is_body_delivered = True
        return body.take()

    def _take_body(self, body: RequestBody) -> Message:
        self._is_body_delivered = body.is_complete
        was_full = not body.has_room()
        data = body.take()
        if was_full:
            self.stream.resume_reading()
        return {"type": "http.request", "body": data, "more_body": not self._is_body_delivered}

    async def _wait_for_body(self, body: RequestBody) -> None:
        if body.awaits_continue and self.can_still_answer():
            body.awaits_continue = False
            self.stream.send_informational(100, ())
        while not body.size and not body.is_complete and self.request_state != DISCONNECTED and not self.is_over():
            await self._wait()

    async def _wait(self) -> None:
        if self._wakeup is None:
            self._wakeup = asyncio.Event()
        self._wakeup.clear()
        self.disconnect_listeners += 1
        try:
            await self._wakeup.wait()
        finally:
            self.disconnect_listeners -= 1

    def _wake(self) -> None:
        """Wake up a waiting `receive`."""
        if self._wakeup is not None:
            self._wakeup.set()

    def feed(self, data: bytes, more: bool) -> bool:
        """Take a part of the request's body from the stream; with `more`, others follow.

        Returns False when too much of it has been thrown away because the response is complete already. Raises
        `HTTPError` where it is longer than a body may be.
        """
        body = self.body
        if body is None:
            return True
        if self.request_state == DISCARDING:
            body.discarded_bytes += len(data)
            return body.discarded_bytes <= self.context.bounds.max_discard_bytes
        body.awaits_continue = False
        self.context.check_body_length(body.received_bytes + len(data))
        body.put(data, more)
        if not more and self.request_state == BODY_EXPECTED:
            self.request_state = BODY_COMPLETE
        if not body.has_room():
            self.stream.pause_reading()
        self._wake()
        return True

    def discard_body(self) -> None:
        """Discard the rest of the request's body, because the response is complete."""
        self.request_state = DISCARDING
        if self.body is not None:
            self.body.take()
        self.stream.resume_reading()

    def reject(self, status: int) -> None:
        """End a request that cannot be served any further: the client has got this answer, or none if one had begun."""
        if self.can_still_answer():
            self.status = status
        self.measure()
        self.log_access()
        self.is_logged = False
        self.disconnect(gone=True)

    def disconnect(self, *, gone: bool) -> None:
        """Note that the client sends no more, and with `gone` that it receives no more either."""
        self.request_state = DISCONNECTED
        if gone and self.response_state != COMPLETE:
            self.response_state = ABORTED
        self._wake()
        if self.listener is not None:
            if gone:
                self.listener.on_client_gone()
        elif self._cancels_on_disconnect:
            self._cancel_if_client_gone()

    def set_cancel_on_disconnect(self, cancels: bool) -> None:
        """Set whether the application is cancelled when its client goes, or because it has gone already."""
        self._cancels_on_disconnect = cancels
        if cancels and self.request_state == DISCONNECTED:
            self._cancel_if_client_gone()

    def _cancel_if_client_gone(self) -> None:
        """Cancel the application's task if the client has gone, or once that turns out."""
        if not self.is_response_pending():
            return
        if self.response_state == ABORTED:
            # Not at once: its task may not have begun, and would then never end.
            self.context.loop.call_soon(self._cancel_abandoned)
        else:
            self.stream.probe_client()

    def _cancel_abandoned(self) -> None:
        is_abandoned = self.response_state == ABORTED and self.is_response_pending()
        if is_abandoned and self._cancels_on_disconnect and not self.is_cancelled:
            self.cancel()

    # From the application to the client.

    def start(self, status: int, fields: Iterable[Field]) -> None:
        """Take the head of the response, which is held for the first part of the body.

        Raises `ValueError` and `TypeError` for a status or fields that would break the response.
        """
        self._hold_head(status, self.stream.prepare_response(status, fields))

    def start_formatted(self, head: ResponseHead) -> None:
        """Take a head that has been checked and formatted already, as `start` does."""
        self.stream.prepare_formatted(head)
        self._hold_head(head.status, head.length)

    def _hold_head(self, status: int, length: int) -> None:
        self.status = status
        self._unsent_bytes = length
        self._has_no_content = status == 204 or status == 304 or self.head.method == "HEAD"
        self.wants_trailers = self._sends_trailers = False
        self.response_state = HEAD_HELD

    def has_length(self) -> bool:
        """Return whether the response has declared how long its body is."""
        return self._unsent_bytes >= 0

    def expect_trailers(self) -> None:
        """Announce trailers to a client that says it takes them (RFC 9110 section 6.5.1 and 10.1.4).

        They have no place in HTTP/1.0, behind no body, or behind one of a declared length.
        """
        self.wants_trailers = True
        if self.head.version != HTTP_1_0 and not self._has_no_content and self._unsent_bytes < 0:
            self._sends_trailers = has_token(self.head.headers, b"te", b"trailers")
            if self._sends_trailers:
                self.stream.announce_trailers()

    def send_part(self, body: bytes, more: bool) -> None:
        """Send a part of the body, and the head with the first part; with `more`, others follow.

        Raises `RuntimeError` for a body that is longer or shorter than was declared.
        """
        if not self._has_no_content:
            size = len(body)
            if self._unsent_bytes >= 0 and (more or size != self._unsent_bytes):
                self._check_length(size, more)
            self.bytes_sent += size
        if self.response_state == HEAD_HELD:
            if more:
                self.first_byte_at = perf_counter()
            self.stream.start_response(body, more)
        else:
            self.stream.send_body(body, more)
        if more:
            self.response_state = BODY
        elif self._sends_trailers:
            self.response_state = TRAILERS
        else:
            self._complete()

    def _check_length(self, size: int, more: bool) -> None:
        """Check a part against the body's declared length, before any of it is written."""
        if size > self._unsent_bytes:
            raise RuntimeError("Response content longer than Content-Length")
        if not more and size < self._unsent_bytes:
            raise RuntimeError("Response content shorter than Content-Length")
        self._unsent_bytes -= size

    def _complete(self) -> None:
        self.response_state = COMPLETE
        if self.context.metrics is not None:
            self.measure()
        if self.context.access_log is not None:
            self.log_access()
        self.stream.end_response()
        if self._wakeup is not None:
            self._wakeup.set()

    def send_late_head(self) -> bool:
        """Send a head alone if it was held the last time this was called too; return whether one is held.

        Until its head comes, a client knows nothing of a stream whose first event may be long in coming.
        """
        if self.response_state != HEAD_HELD:
            return False
        if self._is_head_late:
            self.first_byte_at = perf_counter()
            self.stream.start_response(b"", True)
            self.response_state = HEAD_SENT
        self._is_head_late = True
        return True

    def send_trailers(self, fields: Iterable[Field], more: bool) -> None:
        """Send trailers after the body; with `more`, others follow (RFC 9110 section 6.5)."""
        self.stream.send_trailers(fields, more)
        if not more:
            self._complete()

    async def send_file(self, file: BinaryIO, offset: int, size: int) -> None:
        """Send the whole body, `size` bytes of a file from `offset` on. Raises `ClientDisconnected`."""
        if self.response_state == ABORTED or self.stream.is_closing():
            raise ClientDisconnected("the client has disconnected")
        if not self._has_no_content:
            if self._unsent_bytes >= 0:
                self._check_length(size, more=False)
            self.bytes_sent = size
        self._sends_trailers = False
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
        """End the exchange for the client: by a 500 while nothing has been written, else by the connection's end."""
        if self.is_cancelled:
            return
        if self.can_still_answer():
            self.answer(500, b"Internal Server Error")
        elif not self.is_over():
            self.stream.reset()

    def answer(self, status: int, text: bytes) -> None:
        """Answer with a text of the server, in place of what the application has, or has not, begun."""
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
        self.start(status, headers)
        self.send_part(text, more=False)

    def cancel(self) -> None:
        """Cancel the application."""
        self.is_cancelled = True
        if self.task is not None:
            self.task.cancel()
        if self.listener is not None:
            self.listener.on_cancelled()

    def time_out(self) -> None:
        """End a call that takes too long: answer 504, or break off the response that has begun, and cancel the call."""
        if self.can_still_answer():
            self.answer(504, b"Gateway Timeout")
            self.is_logged = False
        elif not self.is_over():
            self.stream.reset()
        # Whatever the application still sends is discarded.
        self.response_state = ABORTED
        self.stream.flow.release_writers()
        self._wake()
        self.cancel()

    def on_stream_closed(self) -> None:
        """The stream has ended. Of a response that was not complete, the access log has the status that was sent."""
        if self.response_state != COMPLETE:
            if self.can_still_answer() or not self.status:
                self.status = CLIENT_CLOSED_REQUEST
            self.measure()
            self.log_access()
        self.disconnect(gone=True)

    # Logs and metrics.

    def to_running_call(self) -> RunningCall:
        """Return the method, the path, and the seconds that the call has taken so far. May be called on any thread."""
        return RunningCall(f"{self.head.method} {format_request_path(self.scope)}", perf_counter() - self.started_at)

    def describe(self) -> str:
        """Return the exchange's name in the log: its method and target, and for how long it has gone on."""
        return f"{self.head.method} {format_request_target(self.scope)} ({perf_counter() - self.started_at:.0f} s)"

    def measure(self) -> None:
        """Count the exchange, which has ended, and note it if it was slow."""
        metrics = self.context.metrics
        if metrics is not None and self.is_logged:
            peer = self.stream.peer
            count_response(metrics, self.head, self.scope, peer, self.status, self.started_at, self.first_byte_at)

    def log_access(self) -> None:
        """Write the line of the access log for the exchange, which has ended."""
        log = self.context.access_log
        if log is None or not self.is_logged:
            return
        scope, peer, status, format = self.scope, self.stream.peer, self.status, log.format
        if format is None:
            log.add(make_entry(scope, peer, status))
            return
        fields = self.stream.response_fields() if format.response_names and status != CLIENT_CLOSED_REQUEST else []
        times, thread = (self.started_at, self.first_byte_at), self.context.thread
        log.add(
            make_facts(self.head, scope, peer, status, self.bytes_sent, times, thread, format, fields, self.environ)
        )
