"""The application's call for one WebSocket, with its `receive` and `send` (ASGI WebSocket spec 2.4).

Belongs to its connection, on the connection's loop thread; `send` alone may be awaited on any other thread too. It owns
the messages that wait for the application. It never parses, and never touches the transport. The handshake is an HTTP
exchange: a denial is its response, and after an acceptance a `WebSocketConnection` takes over.
"""

import asyncio
import logging
import reprlib
from asyncio import _get_running_loop
from collections.abc import Coroutine
from time import perf_counter

from threadserve.errors import ClientDisconnected
from threadserve.http.asgi_send import ASGISend
from threadserve.http.completed_send import ASYNCIO_COROUTINE_MARKER, INSPECT_COROUTINE_MARKER
from threadserve.http.context import LoopContext
from threadserve.http.exchange import Exchange
from threadserve.http.fields import copy_bytes
from threadserve.http.head import HTTP_2
from threadserve.http.peer import format_client
from threadserve.http.scope import format_request_path, format_request_target
from threadserve.http.states import COMPLETE
from threadserve.metrics.states import RunningCall
from threadserve.types import Message, Send
from threadserve.websocket.close_codes import (
    ABNORMAL_CLOSURE,
    INTERNAL_ERROR,
    NORMAL_CLOSURE,
    SERVICE_RESTART,
    check_close_code,
)
from threadserve.websocket.codec import encode_frame, encode_text_frame
from threadserve.websocket.connection import WebSocketConnection
from threadserve.websocket.deflate import negotiate_deflate
from threadserve.websocket.frame_heads import WHOLE_BINARY, WHOLE_TEXT
from threadserve.websocket.handshake import Handshake, build_accept_fields
from threadserve.websocket.scope import websocket_scope
from threadserve.websocket.settings import SessionSettings
from threadserve.websocket.states import ACCEPTED, CLOSED, CONNECTING, DENYING, DISCONNECTED

logger = logging.getLogger("threadserve.error")

SESSION_STATE_DESCRIPTIONS = {
    CONNECTING: "before the handshake was answered",
    DENYING: "after 'websocket.http.response.start'",
    ACCEPTED: "after 'websocket.accept'",
    CLOSED: "after the application had closed the WebSocket",
}

# Below this size copying a payload behind its head costs less than writing both.
MIN_UNJOINED_BYTES = 65536


class WebSocketSession:
    """One WebSocket, as the application sees it. `task` runs the application, once that has to wait."""

    __slots__ = (
        "_connection",
        "_context",
        "_denial_send",
        "_disconnect_message",
        "_exchange",
        "_handshake",
        "_loop",
        "_messages",
        "_settings",
        "_waiters",
        "is_cancelled",
        "scope",
        "started_at",
        "state",
        "task",
    )

    # Made with a denial.
    _denial_send: ASGISend

    _is_coroutine = ASYNCIO_COROUTINE_MARKER
    _is_coroutine_marker = INSPECT_COROUTINE_MARKER

    def __init__(
        self, exchange: Exchange, context: LoopContext, handshake: Handshake, settings: SessionSettings
    ) -> None:
        self.scope = websocket_scope(exchange.scope, handshake)
        self.task: asyncio.Task[None] | None = None
        self.is_cancelled = False
        self.state = CONNECTING
        self.started_at = perf_counter()
        self._loop = context.loop
        self._context = context
        self._exchange = exchange
        self._handshake = handshake
        self._settings = settings
        self._connection: WebSocketConnection | None = None
        self._messages: list[Message] = [{"type": "websocket.connect"}]
        self._disconnect_message: Message | None = None
        self._waiters: list[asyncio.Future[None]] = []

    # Called by the runner and by the loop's housekeeping.

    def on_return(self) -> None:
        """End the session: the application has returned."""
        if self.state == CONNECTING or self.state == DENYING:
            logger.error("ASGI callable returned without completing the handshake.")
        self._finish(NORMAL_CLOSURE)

    def fail(self) -> None:
        """End the session: the application has raised."""
        self._finish(INTERNAL_ERROR)

    def _finish(self, code: int) -> None:
        """Close the WebSocket with `code`, or answer 500 if the handshake has no answer yet."""
        if self.state == CONNECTING or self.state == DENYING:
            self._exchange.fail()
            self._on_denial_sent()
        elif self.state == ACCEPTED:
            self._close(code, "")
        # Break the reference cycle, which would wait for the garbage collector.
        self._exchange.listener = None

    def cancel(self) -> None:
        """Cancel the application."""
        self.is_cancelled = True
        if self.task is not None:
            self.task.cancel()

    def to_running_call(self) -> RunningCall:
        """Return a description of the call with its duration in seconds. May be called on any thread."""
        return RunningCall(f"WebSocket {format_request_path(self.scope)}", perf_counter() - self.started_at)

    def describe(self) -> str:
        """Return the call's text for the log: its target, and its duration."""
        return f"WebSocket {format_request_target(self.scope)} ({perf_counter() - self.started_at:.0f} s)"

    def send_late_head(self) -> bool:
        """Send the head of a denial whose body is late; return whether one is still held."""
        return self.state == DENYING and self._exchange.send_late_head()

    def disconnect(self, *, gone: bool) -> None:
        """Tell the application to end: the server waits no longer."""
        self._end_messages(SERVICE_RESTART, "")

    # Called by the exchange of the handshake: see its `ExchangeListener`.

    def on_client_gone(self) -> None:
        """End the session: the client has gone before its handshake was answered."""
        self.on_closed(ABNORMAL_CLOSURE, "")

    def on_cancelled(self) -> None:
        """Do nothing: this session is the call that is cancelled (see `ExchangeListener`)."""

    # From the client to the application.

    async def receive(self) -> Message:
        """Return the client's next message, or `websocket.disconnect` once there will be no other."""
        messages = self._messages
        while not messages:
            if self._disconnect_message is not None:
                return dict(self._disconnect_message)
            await self._wait()
        message = messages.pop(0)
        if self._connection is not None and self._connection.is_paused:
            self._connection.on_message_taken(len(messages))
        return message

    async def _wait(self) -> None:
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif self._messages:
                # A message was meant for this waiter, and goes to the next.
                self._wake()
            raise

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.pop(0)
            if not waiter.done():
                waiter.set_result(None)
                return

    def deliver(self, message: Message) -> int:
        """Queue a message of the connection; return the number of waiting messages."""
        self._messages.append(message)
        if self._waiters:
            self._wake()
        return len(self._messages)

    def on_closed(self, code: int, reason: str) -> None:
        """End the session: the WebSocket was closed, or the connection lost, not by the application."""
        self.state = DISCONNECTED
        self._end_messages(code, reason)

    def _on_denial_sent(self) -> None:
        self.state = CLOSED
        self._end_messages(ABNORMAL_CLOSURE, "")

    def _end_messages(self, code: int, reason: str) -> None:
        """Send no further message but the disconnect, and wake the waiters."""
        if self._disconnect_message is None:
            self._disconnect_message = {"type": "websocket.disconnect", "code": code, "reason": reason}
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # From the application to the client.

    @property
    def send(self) -> Send:
        """The application's `send`: the session itself, marked as a coroutine function."""
        return self

    def __call__(self, message: Message) -> Coroutine[object, None, None]:
        """Take the application's next message, once the client has room for it; may be awaited on any thread.

        Raises `ClientDisconnected` for a `websocket.send` to a client that has gone (other messages are dropped then),
        `RuntimeError` for a message out of order, and `ValueError` or `TypeError` for one that cannot be sent.
        """
        if _get_running_loop() is not self._loop:
            return self._context.cross_thread.run_on_loop(self._send, message)
        connection = self._connection
        if connection is None:
            return self._context.cross_thread.run_on_loop(self._handle_handshake, message)
        if connection.flow.write_paused:
            return self._context.cross_thread.run_on_loop(self._send_when_taken, message)
        self._send_now(connection, message)
        return self._context.completed_send

    async def _send(self, message: Message) -> None:
        await self(message)

    async def _send_when_taken(self, message: Message) -> None:
        connection = self._connection
        assert connection is not None
        await connection.flow.drain()
        self._send_now(connection, message)

    def _send_now(self, connection: WebSocketConnection, message: Message) -> None:
        """Handle a message after the handshake."""
        if self.state != ACCEPTED or message["type"] != "websocket.send" or connection.transport.is_closing():
            self._handle_other(message, is_closing=connection.transport.is_closing())
            return
        text = message["text"] if "text" in message else None  # noqa: SIM401
        deflate = connection.deflate
        if isinstance(text, str) and len(text) < MIN_UNJOINED_BYTES and deflate is None:
            connection.write(encode_text_frame(text))
            return
        content = text if isinstance(text, str) else message_bytes(message)
        if deflate is not None:
            first, payload = deflate.deflate_message(content)
        elif isinstance(content, str):
            first, payload = WHOLE_TEXT, content.encode()
        else:
            first, payload = WHOLE_BINARY, content
        if len(payload) < MIN_UNJOINED_BYTES:
            connection.write(encode_frame(first, payload))
        else:
            connection.write_unjoined(first, payload)

    async def _handle_handshake(self, message: Message) -> None:
        """Handle a message before the handshake is answered."""
        kind, state = message["type"], self.state
        is_closing = self._exchange.stream.is_closing()
        if not is_closing and state == CONNECTING and kind == "websocket.accept":
            self._accept(message)
        elif not is_closing and state == CONNECTING and kind == "websocket.close":
            await self._send_denial({"type": "websocket.http.response.start", "status": 403})
            await self._send_denial({"type": "websocket.http.response.body"})
        elif not is_closing and (
            (state == CONNECTING and kind == "websocket.http.response.start")
            or (state == DENYING and kind == "websocket.http.response.body")
        ):
            await self._send_denial(message)
        else:
            self._handle_other(message, is_closing=is_closing)

    def _handle_other(self, message: Message, *, is_closing: bool) -> None:
        """Handle every message but a `websocket.send` to an open WebSocket."""
        kind, state = message["type"], self.state
        if state == DISCONNECTED or is_closing:
            if kind == "websocket.send":
                raise ClientDisconnected("the client has disconnected")
        elif state == ACCEPTED and kind == "websocket.close":
            self._close(message.get("code"), message.get("reason") or "")
        else:
            raise RuntimeError(f"Unexpected ASGI message {kind!r} sent, {SESSION_STATE_DESCRIPTIONS[state]}.")

    def _accept(self, message: Message) -> None:
        handshake, settings = self._handshake, self._settings
        agreed = negotiate_deflate(handshake.extensions, settings.max_size) if settings.deflate else None
        deflate, extensions = agreed or (None, None)
        fields = build_accept_fields(handshake, message.get("subprotocol"), extensions, message.get("headers", ()))
        # The bytes of an HTTP/2 stream are counted by its connection.
        counts_bytes = self.scope["http_version"] != HTTP_2
        connection = WebSocketConnection(self, self._context, settings, counts_bytes=counts_bytes)
        self._log("[accepted]")
        early_data = self._exchange.stream.switch_protocols(fields, connection)
        self._connection = connection
        self.state = ACCEPTED
        connection.open(deflate, early_data)

    def _close(self, code: int | None, reason: str) -> None:
        code = NORMAL_CLOSURE if code is None else check_close_code(code)
        if not isinstance(reason, str):
            raise TypeError(f"the reason for a WebSocket's end is a str, not {reason!r}")
        if self._connection is not None:
            self._connection.start_closing(code, reason)
        self.state = CLOSED
        self._end_messages(code, reason)

    async def _send_denial(self, message: Message) -> None:
        is_first = self.state == CONNECTING
        self.state = DENYING
        exchange = self._exchange
        if is_first:
            self._denial_send = ASGISend(exchange)
        await self._denial_send({**message, "type": message["type"].removeprefix("websocket.")})
        if is_first:
            self._log(exchange.status)
        if exchange.response_state == COMPLETE:
            self._on_denial_sent()

    def _log(self, outcome: str | int) -> None:
        scope = self.scope
        logger.info('%s - "WebSocket %s" %s', format_client(scope["client"]), format_request_target(scope), outcome)


def message_bytes(message: Message) -> bytes:
    """Return the bytes that a message sends. Raises `TypeError` if it has neither bytes nor a text."""
    try:
        return copy_bytes(message.get("bytes"))
    except TypeError:
        given = {key: reprlib.repr(message[key]) for key in ("text", "bytes") if key in message}
        raise TypeError(f"'websocket.send' needs a str as its text, or bytes, and has {given or 'neither'}") from None
