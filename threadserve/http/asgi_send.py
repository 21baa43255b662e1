"""Messages of a response (ASGI HTTP spec 2.3), as steps of its exchange.

What sends them is an ASGI application for a request or in place of a WebSocket, or the stream of a WSGI one. Belongs to
the exchange's loop thread, but may be awaited on any other thread too. It checks that a message is in turn, and
discards those whose client has gone; it owns the count of these, and nothing of the response.
"""

import asyncio
from asyncio import _get_running_loop, sleep
from collections.abc import Coroutine, Iterable

from threadserve.errors import ClientDisconnected
from threadserve.http.completed_send import ASYNCIO_COROUTINE_MARKER, INSPECT_COROUTINE_MARKER
from threadserve.http.exchange import Exchange
from threadserve.http.fields import check_field, check_final_status, copy_body
from threadserve.http.files import open_regular_file
from threadserve.http.scope import CANCEL_ON_DISCONNECT
from threadserve.http.states import (
    ABORTED,
    BODY,
    COMPLETE,
    DISCONNECTED,
    HEAD_HELD,
    HEAD_SENT,
    NOT_STARTED,
    TRAILERS,
)
from threadserve.types import Message

STATE_DESCRIPTIONS = {
    NOT_STARTED: "while awaiting 'http.response.start'",
    HEAD_HELD: "after 'http.response.start'",
    HEAD_SENT: "after 'http.response.start'",
    BODY: "while awaiting 'http.response.body'",
    TRAILERS: "while awaiting 'http.response.trailers'",
    COMPLETE: "after the response was complete",
}

# After so many parts for a client that has gone, a stream that never waits gives others their turn.
MAX_DISCARDED_IN_A_ROW = 100


class ASGISend:
    """The `send` of an exchange: called with a message, it returns what the application awaits."""

    __slots__ = ("_context", "_discarded_parts", "_exchange")

    _is_coroutine = ASYNCIO_COROUTINE_MARKER
    _is_coroutine_marker = INSPECT_COROUTINE_MARKER

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._context = exchange.context
        self._discarded_parts = 0

    def __call__(self, message: Message) -> Coroutine[object, None, None]:
        """Take the application's next message. Await the result, on any thread, until the client has room for more.

        Messages for a client that has gone are discarded, see `_discard`. Raises `RuntimeError` for a message out of
        turn or a body that does not fit its content-length, `ValueError` and `TypeError` for a status, headers
        or a body that would break the response, and `ClientDisconnected` to end a stream that would go on for ever.
        """
        context = self._context
        if _get_running_loop() is not context.loop:
            return context.cross_thread.run_on_loop(self._send, message)
        exchange = self._exchange
        kind = message["type"]
        state = exchange.response_state
        if kind == "http.response.body" and (state == HEAD_HELD or state == BODY or state == HEAD_SENT):
            if state != HEAD_HELD and exchange.stream.is_closing():
                # The loop has not had a turn to say so.
                exchange.response_state = ABORTED
                return context.cross_thread.run_on_loop(self._discard, message)
            # Not by `get`: free-threaded 3.13 locks twice in it where another thread has made the message, and then
            # waits for itself.
            body = message["body"] if "body" in message else b""  # noqa: SIM401
            if type(body) is not bytes:
                body = copy_body(body)
            exchange.send_part(body, message["more_body"] if "more_body" in message else False)  # noqa: SIM401
            if exchange.stream.flow.write_paused:
                return context.cross_thread.run_on_loop(self._drain, message)
            return context.completed_send
        if state == NOT_STARTED and kind == "http.response.start":
            self._start(message)
            if not context.ticker.is_checking_heads:
                context.ticker.check_late_heads()
            return context.completed_send
        if kind == CANCEL_ON_DISCONNECT:
            return context.cross_thread.run_on_loop(self._set_cancel_on_disconnect, message)
        return context.cross_thread.run_on_loop(self._discard if state == ABORTED else self._send_extension, message)

    async def _send(self, message: Message) -> None:
        await self(message)

    async def _drain(self, message: Message) -> None:
        """Wait until the client has room, and discard the message that was sent last if the client goes instead."""
        await self._exchange.stream.flow.drain()
        if self._exchange.response_state == ABORTED:
            await self._discard(message)

    def _start(self, message: Message) -> None:
        status = message["status"]
        if type(status) is not int:
            status = check_final_status(status)
        # Not by `get`: see `__call__`.
        self._exchange.start(status, message["headers"] if "headers" in message else ())  # noqa: SIM401
        if "trailers" in message and message["trailers"]:  # noqa: RUF019
            self._exchange.expect_trailers()

    async def _discard(self, message: Message) -> None:
        """Discard a message whose client has gone (ASGI HTTP spec 2.3, "Disconnected Client").

        Most applications complete their response and go on. Raises `ClientDisconnected` where nothing else can end the
        application: it sends part after part of a body without a length, and does not hear of its client by `receive`.
        """
        exchange, kind = self._exchange, message["type"]
        if kind == "http.response.start":
            self._start(message)
            exchange.response_state = ABORTED
        elif kind == "http.response.body" and message.get("more_body", False):
            # The first part may be the whole body: middlewares send such a body with an empty end after it.
            if self._discarded_parts and not exchange.has_length() and self._learns_only_by_send():
                raise ClientDisconnected("the client has disconnected")
            self._discarded_parts += 1
            # An application that cancels a stream has to meet it where it waits for its next part, which ends it:
            # within `send`, it would be left to the garbage collector.
            if self._discarded_parts > MAX_DISCARDED_IN_A_ROW:
                await sleep(0)
        elif kind == "http.response.body" or kind == "http.response.pathsend":
            exchange.is_end_discarded = True

    def _learns_only_by_send(self) -> bool:
        """Return whether the application can learn only by `send` that its client has gone.

        An application that sends in a task of its own, and loses that, may wait for it for ever.
        """
        exchange = self._exchange
        is_own_task = exchange.task is None or asyncio.current_task() is exchange.task
        return is_own_task and not exchange.disconnect_listeners

    # Extensions.

    async def _send_extension(self, message: Message) -> None:
        exchange, kind = self._exchange, message["type"]
        state = exchange.response_state
        if kind == "http.response.trailers" and state == TRAILERS:
            exchange.send_trailers(message.get("headers", ()), message.get("more_trailers", False))
        elif kind == "http.response.pathsend" and not self._context.pathsend:
            raise RuntimeError(f"{kind!r} was sent, which is only for servers that offer it: see --pathsend.")
        elif kind == "http.response.pathsend" and (state == HEAD_HELD or state == HEAD_SENT):
            await self._send_path(message["path"])
        elif kind == "http.response.early_hint":
            self._send_early_hint(message["links"])
        elif kind == "http.response.trailers" and state == COMPLETE and exchange.wants_trailers:
            # The trailers had no place in this response, which the application need not know.
            return
        else:
            raise RuntimeError(f"Unexpected ASGI message {kind!r} sent, {STATE_DESCRIPTIONS[state]}.")
        if exchange.stream.flow.write_paused:
            await self._drain(message)

    def _send_early_hint(self, links: Iterable[object]) -> None:
        """Send a hint, if it is not too late: ASGI extension `http.response.early_hint`, RFC 8297."""
        fields = [check_field((b"link", link)) for link in links]
        if self._exchange.can_still_answer():
            self._exchange.stream.send_informational(103, fields)

    async def _send_path(self, path: str) -> None:
        """Send a file as the whole body: ASGI extension `http.response.pathsend`."""
        file, size = await open_regular_file(self._context.loop, path)
        with file:
            try:
                await self._exchange.send_file(file, 0, size)
            except ClientDisconnected:
                self._exchange.response_state = ABORTED

    async def _set_cancel_on_disconnect(self, message: Message) -> None:
        """Set whether the application is cancelled when its client goes: an ASGI extension of this server."""
        cancels = message["cancel"]
        if type(cancels) is not bool:
            raise TypeError(f"'cancel' of {CANCEL_ON_DISCONNECT!r} is {cancels!r}, neither True nor False")
        self._exchange.set_cancel_on_disconnect(cancels)
        if cancels and self._exchange.request_state == DISCONNECTED:
            # The cancellation arrives here, not somewhere later.
            await sleep(0)
