"""The request of an exchange on its way in: what the application's `receive` does.

Belongs to one exchange, on its connection's loop thread. It owns the request's body until the application reads it; it
never parses.
"""

import asyncio

from threadserve.http.response_side import COMPLETE, GONE, HELD, ResponseSide
from threadserve.types import Message

HIGH_WATER = 65536
DISCARD_LIMIT = 4 * 1024 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class RequestSide(ResponseSide):
    """One request's body. `receive` is what the application gets (ASGI HTTP spec 2.3).

    Attributes with a value in the class are set on an instance only when they come to differ: most never do.
    """

    disconnected = False
    _parts: list[bytes]
    _buffered = 0
    _discarded = 0
    _more_body = False
    _is_given = False
    changed: asyncio.Event | None = None
    # How many wait in `receive`, and whether it has told that the client has gone.
    _waiting = 0
    _is_told = False

    @property
    def has_room(self) -> bool:
        """Whether more of the body may come before the application has read what is there."""
        return self._buffered <= HIGH_WATER

    def expect_body(self, *, after_continue: bool) -> None:
        """A body follows the head; with `after_continue` the client waits to be told to send it."""
        self._more_body = True
        self._parts = []
        if after_continue:
            self._expects_continue = True
            self._is_plain = False

    async def receive(self) -> Message:
        """Returns the next part of the body, or `http.disconnect` once the client or the response is at its end."""
        if not self._is_given:
            if not self._more_body and not self._buffered:
                self._is_given = True
                return {"type": "http.request", "body": b"", "more_body": False}
            if not self._buffered:
                await self._wait_for_body()
            if self._buffered or not self._more_body:
                return self._take_body()
        while not self.disconnected and self.phase < COMPLETE:
            await self._wait()
        if self.phase < COMPLETE:
            # A client that sends no more may still read. An application that asks is told all the same that it has
            # gone, and from then on it has.
            self.phase = GONE
            self.outlet.close()
        self._is_told = True
        return {"type": "http.disconnect"}

    def _take_body(self) -> Message:
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._is_given = not self._more_body
        if not self.has_room:
            self.outlet.resume_reading()
        self._buffered = 0
        return {"type": "http.request", "body": body, "more_body": self._more_body}

    async def _wait_for_body(self) -> None:
        if self._expects_continue and self.phase <= HELD:
            self._expects_continue = False
            self.outlet.write(CONTINUE)
        while self._more_body and not self._buffered and not self.disconnected and self.phase < COMPLETE:
            await self._wait()

    async def _wait(self) -> None:
        if self.changed is None:
            self.changed = asyncio.Event()
        self.changed.clear()
        self._waiting += 1
        try:
            await self.changed.wait()
        finally:
            self._waiting -= 1

    def wake(self) -> None:
        """Lets a waiting `receive` look again."""
        if self.changed is not None:
            self.changed.set()

    def feed(self, body: bytes, more: bool) -> bool:
        """Takes a part of the request's body from the connection; `more` says whether the request goes on.

        Returns False when too much of it has been thrown away because the response is complete already.
        """
        self._more_body = more
        if self.phase == COMPLETE:
            self._discarded += len(body)
            return self._discarded <= DISCARD_LIMIT
        self._expects_continue = False
        if body:
            self._parts.append(body)
            self._buffered += len(body)
            if not self.has_room:
                self.outlet.pause_reading()
        self.wake()
        return True

    def discard_body(self) -> None:
        """The response is complete: what is left of the request's body is read past."""
        self._parts.clear()
        self._buffered = 0
        self.outlet.resume_reading()

    def disconnect(self, *, gone: bool) -> None:
        """The client sends no more; with `gone` it receives no more either."""
        self.disconnected = True
        if gone and self.phase != COMPLETE:
            self.phase = GONE
        self.wake()
