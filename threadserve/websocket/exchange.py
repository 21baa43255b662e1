"""The application's call for one WebSocket: what its `receive` and its `send` do (ASGI WebSocket spec 2.4).

Belongs to its connection, on the connection's loop thread; `send` alone may be awaited on any other thread too. It owns
the messages that wait for the application; it never parses and never touches the transport.
"""

import asyncio
import logging
import reprlib
from asyncio import get_running_loop
from typing import Any

from threadserve.errors import ClientDisconnected
from threadserve.http.app_call import AppCall
from threadserve.http.loop_state import LoopState
from threadserve.http.peer import label_of
from threadserve.http.response_fields import own_bytes
from threadserve.http.response_side import COMPLETE, HELD
from threadserve.http.response_side import GONE as DENIAL_GONE
from threadserve.http.scope import target_of
from threadserve.interfaces.app_errors import comes_of_closing
from threadserve.types import Message
from threadserve.websocket.codec import server_frame, text_frame
from threadserve.websocket.deflate import negotiate
from threadserve.websocket.denial import Denial
from threadserve.websocket.handshake import Handshake, accept_answer
from threadserve.websocket.heads import WHOLE_BINARY, WHOLE_TEXT
from threadserve.websocket.line import Line

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

NORMAL = 1000
ABNORMAL = 1006
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012
# All that are defined, but 1004.
CLOSE_CODES = (range(1000, 1004), range(1005, 1016), range(3000, 5000))


class WebSocketExchange(AppCall):
    """One WebSocket, as the application sees it."""

    def __init__(self, line: Line, state: LoopState, scope: dict[str, Any], handshake: Handshake) -> None:
        self.state = state
        self.scope = scope
        self.phase = CONNECTING
        self._line = line
        self._handshake = handshake
        self._denial: Denial | None = None
        self._inbox: list[Message] = [{"type": "websocket.connect"}]
        self._farewell: Message | None = None
        self._waiters: list[asyncio.Future[None]] = []

    async def run(self) -> None:
        """Calls the application, and sees to what it leaves undone."""
        try:
            await self.state.app(self.scope, self.receive, self.send)
            if self.phase <= DENYING:
                logger.error("ASGI callable returned without completing the handshake.")
            self._finish(NORMAL)
        except BaseException as error:
            if comes_of_closing(error, self.task):
                raise
            self._report(error)
            self._finish(INTERNAL_ERROR)
        self._end()

    def _finish(self, code: int) -> None:
        """Ends what the application has left open: by a 500 where the handshake is unanswered, else by this code."""
        if self.phase <= DENYING:
            denial = self._denial or self._begin_denial()
            if denial.phase <= HELD:
                denial.answer_error(b"Internal Server Error")
            else:
                self._line.close()
        elif self.phase == OPEN:
            self._close(code, "")

    # From the client to the application.

    async def receive(self) -> Message:
        """Returns the client's next message, or `websocket.disconnect` once there will be no other."""
        inbox = self._inbox
        while not inbox:
            if self._farewell is not None:
                return dict(self._farewell)
            await self._wait()
        message = inbox.pop(0)
        if self._line.is_stalled:
            self._line.on_received(len(inbox))
        return message

    async def _wait(self) -> None:
        waiter = self.state.loop.create_future()
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
        if self._denial is not None and self._denial.phase < COMPLETE:
            self._denial.phase = DENIAL_GONE
        self.phase = GONE
        self._part(code, reason)

    def on_denied(self) -> None:
        """The response that denies the handshake is complete."""
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

    def disconnect(self, *, gone: bool) -> None:
        """The server waits no longer: the application is told, whatever it is doing."""
        self._part(SERVICE_RESTART, "")

    # From the application to the client.

    async def send(self, message: Message) -> None:
        """Takes the application's next message, once the client has room for it. May be awaited on any thread.

        Raises `ClientDisconnected` for a `websocket.send` to a client that has gone, whereas anything else is let go
        then; `RuntimeError` for a message out of turn, `ValueError` and `TypeError` for one that cannot be sent.
        """
        if get_running_loop() is not self.state.loop:
            await self.state.crossing.send_threadsafe(self.send, message)
            return
        line = self._line
        if line.write_paused:
            await line.drained()
        if self.phase != OPEN or message["type"] != "websocket.send" or line.transport.is_closing():
            await self._send_other(message)
            return
        text = message.get("text")
        if isinstance(text, str) and len(text) < LARGE and line.deflate is None:
            line.write(text_frame(text))
            return
        content = text if isinstance(text, str) else bytes_of(message)
        if line.deflate is not None:
            first, payload = line.deflate.deflate_message(content)
        elif isinstance(content, str):
            first, payload = WHOLE_TEXT, content.encode()
        else:
            first, payload = WHOLE_BINARY, content
        if len(payload) < LARGE:
            line.write(server_frame(first, payload))
        else:
            line.write_large(first, payload)

    async def _send_other(self, message: Message) -> None:
        """Takes every message but one to the client of an open WebSocket."""
        kind, phase = message["type"], self.phase
        if phase == GONE or self._line.transport.is_closing():
            if kind == "websocket.send":
                raise ClientDisconnected("the client has disconnected")
            return
        if phase == CONNECTING and kind == "websocket.accept":
            self._accept(message)
        elif phase == CONNECTING and kind == "websocket.close":
            await self._deny({"type": "websocket.http.response.start", "status": 403})
            await self._deny({"type": "websocket.http.response.body"})
        elif (phase == CONNECTING and kind == "websocket.http.response.start") or (
            phase == DENYING and kind == "websocket.http.response.body"
        ):
            await self._deny(message)
        elif phase == OPEN and kind == "websocket.close":
            self._close(message.get("code"), message.get("reason") or "")
        else:
            raise RuntimeError(f"Unexpected ASGI message {kind!r} sent, {WHEN[phase]}.")

    def _accept(self, message: Message) -> None:
        state, handshake = self.state, self._handshake
        agreed = negotiate(handshake.extensions, state.ws_max_size) if state.ws_deflate else None
        deflate, extensions = agreed or (None, None)
        answer = accept_answer(
            handshake, state.default_fields, message.get("subprotocol"), extensions, message.get("headers", ())
        )
        self._log("[accepted]")
        self.phase = OPEN
        self._line.open(answer, deflate)

    def _close(self, code: int | None, reason: str) -> None:
        code = NORMAL if code is None else close_code(code)
        if not isinstance(reason, str):
            raise TypeError(f"the reason for a WebSocket's end is a str, not {reason!r}")
        self._line.begin_close(code, reason)
        self.phase = CLOSED
        self._part(code, reason)

    async def _deny(self, message: Message) -> None:
        denial = self._denial
        if denial is None:
            denial = self._begin_denial()
            await denial.send_event(message)
            self._log(denial.status)
        else:
            await denial.send_event(message)

    def _begin_denial(self) -> Denial:
        self.phase = DENYING
        self._denial = Denial(self._line, self.state, self.scope)
        return self._denial

    def send_late_head(self) -> bool:
        """Sends the head of a denial whose body is late; returns whether one is held."""
        return self._denial is not None and self._denial.send_late_head()

    def _log(self, outcome: str | int) -> None:
        scope = self.scope
        logger.info('%s - "WebSocket %s" %s', label_of(scope["client"]), target_of(scope), outcome)


def close_code(code: Any) -> int:
    """A code to close with, whatever class it is of.

    Raises `ValueError` where an application may not close with it (RFC 6455 section 7.4, and what IANA added).
    """
    for allowed in CLOSE_CODES:
        if code in allowed:
            return allowed[allowed.index(code)]
    raise ValueError(f"invalid close code: {code!r}")


def bytes_of(message: Message) -> bytes:
    """The bytes that a message is to send. Raises `TypeError` where it has neither those nor a text."""
    try:
        return own_bytes(message.get("bytes"))
    except TypeError:
        given = {key: reprlib.repr(message[key]) for key in ("text", "bytes") if key in message}
        raise TypeError(f"'websocket.send' needs a str as its text, or bytes, and has {given or 'neither'}") from None
