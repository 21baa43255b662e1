"""The application's call for one WebSocket: what its `receive` and its `send` do (ASGI WebSocket spec 2.4).

Belongs to its connection, on the connection's loop thread; `send` alone may be awaited on any other thread too. It owns
the messages that wait for the application; it never parses and never touches the transport. The handshake is an
exchange of HTTP: a denial is its response, and with an acceptance a connection for frames takes over.
"""

import asyncio
import logging
import reprlib
from asyncio import _get_running_loop
from collections.abc import Coroutine
from time import perf_counter
from typing import Any, cast

from threadserve.errors import ClientDisconnected
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
from threadserve.websocket.closing import ABNORMAL, INTERNAL_ERROR, NORMAL, SERVICE_RESTART, close_code
from threadserve.websocket.codec import server_frame, text_frame
from threadserve.websocket.connection import WebSocketConnection
from threadserve.websocket.deflate import negotiate
from threadserve.websocket.handshake import Handshake, accept_fields
from threadserve.websocket.heads import WHOLE_BINARY, WHOLE_TEXT
from threadserve.websocket.scope import websocket_scope
from threadserve.websocket.settings import WebSocketSettings

logger = logging.getLogger("threadserve.error")

# A WebSocket's phases as the application sees them, in their order.
CONNECTING = 0
DENYING = 1
OPEN = 2
CLOSED = 3  # By the application.
GONE = 4  # By anybody else.

WHEN = {
    CONNECTING: "before the handshake was answered",
    DENYING: "after 'websocket.http.response.start'",
    OPEN: "after 'websocket.accept'",
    CLOSED: "after the application had closed the WebSocket",
}

# Below that, one copy into one piece costs less than two pieces do.
LARGE = 65536


class WebSocketSession:
    """One WebSocket, as the application sees it. `task` is what runs the application, once that has to wait."""

    __slots__ = (
        "_connection",
        "_context",
        "_exchange",
        "_farewell",
        "_handshake",
        "_inbox",
        "_loop",
        "_settings",
        "_waiters",
        "is_cancelled",
        "phase",
        "scope",
        "started_at",
        "task",
    )

    _is_coroutine = ASYNCIO_COROUTINE_MARKER
    _is_coroutine_marker = INSPECT_COROUTINE_MARKER

    def __init__(
        self, exchange: Exchange, context: LoopContext, handshake: Handshake, settings: WebSocketSettings
    ) -> None:
        self.scope = websocket_scope(exchange.scope, handshake)
        self.task: asyncio.Task[None] | None = None
        self.is_cancelled = False
        self.phase = CONNECTING
        self.started_at = perf_counter()
        self._loop = context.loop
        self._context = context
        self._exchange = exchange
        self._handshake = handshake
        self._settings = settings
        self._connection: WebSocketConnection | None = None
        self._inbox: list[Message] = [{"type": "websocket.connect"}]
        self._farewell: Message | None = None
        self._waiters: list[asyncio.Future[None]] = []

    # Called by the runner and by the loop's housekeeping.

    def on_return(self) -> None:
        """The application has returned."""
        if self.phase == CONNECTING or self.phase == DENYING:
            logger.error("ASGI callable returned without completing the handshake.")
        self._finish(NORMAL)

    def fail(self) -> None:
        """The application has raised."""
        self._finish(INTERNAL_ERROR)

    def _finish(self, code: int) -> None:
        """Ends what the application has left open: by a 500 where the handshake is unanswered, else by this code."""
        if self.phase == CONNECTING or self.phase == DENYING:
            self._exchange.fail()
            self._on_denied()
        elif self.phase == OPEN:
            self._close(code, "")

    def cancel(self) -> None:
        """Cuts the application off."""
        self.is_cancelled = True
        if self.task is not None:
            self.task.cancel()

    def to_running_call(self) -> RunningCall:
        """What it is, and for how long it has gone on. May be called on any thread."""
        return RunningCall(f"WebSocket {format_request_path(self.scope)}", perf_counter() - self.started_at)

    def describe(self) -> str:
        """What the log calls it: by its target, and for how long it has gone on."""
        return f"WebSocket {format_request_target(self.scope)} ({perf_counter() - self.started_at:.0f} s)"

    def send_late_head(self) -> bool:
        """Sends the head of a denial whose body is late; returns whether one is held."""
        return self.phase == DENYING and self._exchange.send_late_head()

    def disconnect(self, *, gone: bool) -> None:
        """The server waits no longer: the application is told, whatever it is doing."""
        self._part(SERVICE_RESTART, "")

    # Called by the exchange of the handshake: see its `ExchangeListener`.

    def on_client_gone(self) -> None:
        """The client has gone before its handshake was answered."""
        self.on_gone(ABNORMAL, "")

    def on_cancelled(self) -> None:
        """See `ExchangeListener`: the exchange of a handshake is no call of its own."""

    # From the client to the application.

    async def receive(self) -> Message:
        """Returns the client's next message, or `websocket.disconnect` once there will be no other."""
        inbox = self._inbox
        while not inbox:
            if self._farewell is not None:
                return dict(self._farewell)
            await self._wait()
        message = inbox.pop(0)
        if self._connection is not None and self._connection.is_stalled:
            self._connection.on_received(len(inbox))
        return message

    async def _wait(self) -> None:
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif self._inbox:
                # A message has come for this one, and goes to the next who waits.
                self._wake()
            raise

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.pop(0)
            if not waiter.done():
                waiter.set_result(None)
                return

    def deliver(self, message: Message) -> int:
        """Takes a message from the connection. Returns how many wait now."""
        self._inbox.append(message)
        if self._waiters:
            self._wake()
        return len(self._inbox)

    def on_gone(self, code: int, reason: str) -> None:
        """The WebSocket is closed, or the connection gone, by no doing of the application's."""
        self.phase = GONE
        self._part(code, reason)

    def _on_denied(self) -> None:
        self.phase = CLOSED
        self._part(ABNORMAL, "")

    def _part(self, code: int, reason: str) -> None:
        """No further message will come."""
        if self._farewell is None:
            self._farewell = {"type": "websocket.disconnect", "code": code, "reason": reason}
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # From the application to the client.

    @property
    def send(self) -> Send:
        """The application's `send`: the session itself, which says that it is a coroutine function."""
        return self

    def __call__(self, message: Message) -> Coroutine[Any, Any, None]:
        """Takes the application's next message, where the client has room for it; may be awaited on any thread.

        Raises `ClientDisconnected` for a `websocket.send` to a client that has gone, whereas anything else is let go
        then; `RuntimeError` for a message out of turn, `ValueError` and `TypeError` for one that cannot be sent.
        """
        if _get_running_loop() is not self._loop:
            return self._context.cross_thread.run_on_loop(self._send, message)
        connection = self._connection
        if connection is None:
            return self._context.cross_thread.run_on_loop(self._answer_handshake, message)
        if connection.flow.write_paused:
            return self._context.cross_thread.run_on_loop(self._send_when_taken, message)
        self._send_now(connection, message)
        return self._context.completed_send

    async def _send(self, message: Message) -> None:
        await self(message)

    async def _send_when_taken(self, message: Message) -> None:
        connection = cast("WebSocketConnection", self._connection)
        await connection.flow.drain()
        self._send_now(connection, message)

    def _send_now(self, connection: WebSocketConnection, message: Message) -> None:
        """Takes a message when the handshake is over."""
        if self.phase != OPEN or message["type"] != "websocket.send" or connection.transport.is_closing():
            self._send_other(message, is_closing=connection.transport.is_closing())
            return
        text = message["text"] if "text" in message else None  # noqa: SIM401
        deflate = connection.deflate
        if isinstance(text, str) and len(text) < LARGE and deflate is None:
            connection.write(text_frame(text))
            return
        content = text if isinstance(text, str) else bytes_of(message)
        if deflate is not None:
            first, payload = deflate.deflate_message(content)
        elif isinstance(content, str):
            first, payload = WHOLE_TEXT, content.encode()
        else:
            first, payload = WHOLE_BINARY, content
        if len(payload) < LARGE:
            connection.write(server_frame(first, payload))
        else:
            connection.write_large(first, payload)

    async def _answer_handshake(self, message: Message) -> None:
        """Takes messages before the WebSocket is open."""
        kind, phase = message["type"], self.phase
        is_closing = self._exchange.stream.is_closing()
        if not is_closing and phase == CONNECTING and kind == "websocket.accept":
            self._accept(message)
        elif not is_closing and phase == CONNECTING and kind == "websocket.close":
            await self._deny({"type": "websocket.http.response.start", "status": 403})
            await self._deny({"type": "websocket.http.response.body"})
        elif not is_closing and (
            (phase == CONNECTING and kind == "websocket.http.response.start")
            or (phase == DENYING and kind == "websocket.http.response.body")
        ):
            await self._deny(message)
        else:
            self._send_other(message, is_closing=is_closing)

    def _send_other(self, message: Message, *, is_closing: bool) -> None:
        """Takes every message but one to the client of an open WebSocket."""
        kind, phase = message["type"], self.phase
        if phase == GONE or is_closing:
            if kind == "websocket.send":
                raise ClientDisconnected("the client has disconnected")
        elif phase == OPEN and kind == "websocket.close":
            self._close(message.get("code"), message.get("reason") or "")
        else:
            raise RuntimeError(f"Unexpected ASGI message {kind!r} sent, {WHEN[phase]}.")

    def _accept(self, message: Message) -> None:
        handshake, settings = self._handshake, self._settings
        agreed = negotiate(handshake.extensions, settings.max_size) if settings.deflate else None
        deflate, extensions = agreed or (None, None)
        fields = accept_fields(handshake, message.get("subprotocol"), extensions, message.get("headers", ()))
        # Those of a stream are its connection's.
        counts_bytes = self.scope["http_version"] != HTTP_2
        connection = WebSocketConnection(self, self._context, settings, counts_bytes=counts_bytes)
        self._log("[accepted]")
        rest = self._exchange.stream.switch_protocols(fields, connection)
        self._connection = connection
        self.phase = OPEN
        connection.open(deflate, rest)

    def _close(self, code: int | None, reason: str) -> None:
        code = NORMAL if code is None else close_code(code)
        if not isinstance(reason, str):
            raise TypeError(f"the reason for a WebSocket's end is a str, not {reason!r}")
        if self._connection is not None:
            self._connection.begin_close(code, reason)
        self.phase = CLOSED
        self._part(code, reason)

    async def _deny(self, message: Message) -> None:
        is_first = self.phase == CONNECTING
        self.phase = DENYING
        exchange = self._exchange
        await exchange.send({**message, "type": message["type"].removeprefix("websocket.")})
        if is_first:
            self._log(exchange.status)
        if exchange.response_state == COMPLETE:
            self._on_denied()

    def _log(self, outcome: str | int) -> None:
        scope = self.scope
        logger.info('%s - "WebSocket %s" %s', format_client(scope["client"]), format_request_target(scope), outcome)


def bytes_of(message: Message) -> bytes:
    """The bytes that a message is to send. Raises `TypeError` where it has neither those nor a text."""
    try:
        return copy_bytes(message.get("bytes"))
    except TypeError:
        given = {key: reprlib.repr(message[key]) for key in ("text", "bytes") if key in message}
        raise TypeError(f"'websocket.send' needs a str as its text, or bytes, and has {given or 'neither'}") from None
