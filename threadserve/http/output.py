"""What leaves for the clients, and when.

Runs on the loop's thread. An `Output` belongs to its connection and owns what is held of it; the `Outbox` belongs to
the loop and knows which outputs hold something. Neither looks at the bytes.
"""

import asyncio
from math import inf
from time import perf_counter

from threadserve.http.bounds import Bounds

# How many bytes may wait for others that leave with them. What is larger is not copied to join it with what goes before
# and behind it.
HOLD_BYTES = 65536
# How much is written at a time to a transport that notices only at the next write that its client takes nothing.
PIECE = 65536


class Outbox:
    """Has what a loop makes in one turn leave together at its end, once the loop has nothing else to do.

    A write wakes its client up. Where each of many small answers is written as soon as it is made, clients and server
    take turns on the same processors for every one of them. Where an application turns out to have blocked the loop
    meanwhile, nothing is held for a while.
    """

    __slots__ = (
        "_blocked_rest_seconds",
        "_blocked_seconds",
        "_hold_seconds",
        "_is_due",
        "_left_at",
        "_loop",
        "_outputs",
        "_rests_until",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, bounds: Bounds) -> None:
        self._loop = loop
        self._hold_seconds = bounds.hold_seconds
        self._blocked_seconds = bounds.blocked_seconds
        self._blocked_rest_seconds = bounds.blocked_rest_seconds
        self._outputs: list[Output] = []
        self._is_due = False
        self._left_at = -inf
        self._rests_until = -inf

    def post(self, output: "Output") -> None:
        """Has an output flushed: at once if nothing has left for `hold_seconds`, else at the end of the turn."""
        now = perf_counter()
        if now - self._left_at >= self._hold_seconds or now < self._rests_until:
            self._left_at = now
            output.flush()
            self._flush_all()
        elif not output.is_posted:
            output.is_posted = True
            self._outputs.append(output)
            if not self._is_due:
                self._is_due = True
                self._loop.call_soon(self._on_turn)

    def _on_turn(self) -> None:
        self._is_due = False
        if self._outputs:
            now = perf_counter()
            if now - self._left_at > self._blocked_seconds:
                self._rests_until = now + self._blocked_rest_seconds
            self._left_at = now
            self._flush_all()

    def _flush_all(self) -> None:
        outputs, self._outputs = self._outputs, []
        for output in outputs:
            output.is_posted = False
            output.flush()


class Output:
    """The bytes of one connection on their way to its transport, in order."""

    __slots__ = ("_held", "_held_bytes", "_in_pieces", "_outbox", "_send", "_transport", "is_posted")

    def __init__(self, outbox: Outbox, *, in_pieces: bool) -> None:
        self._outbox = outbox
        self._in_pieces = in_pieces
        self._held: list[bytes] = []
        self._held_bytes = 0
        # Whether the outbox has it among those to flush.
        self.is_posted = False

    def open(self, transport: asyncio.Transport) -> None:
        """The connection is open."""
        self._transport = transport
        self._send = transport.write

    def hold(self, pieces: list[bytes], size: int) -> None:
        """Takes bytes, `size` of them of a body, that may leave together with others: see `Outbox`."""
        self._add(pieces, size)
        if self._held_bytes >= HOLD_BYTES:
            self.flush()
        else:
            self._outbox.post(self)

    def write(self, pieces: list[bytes], size: int) -> None:
        """Writes bytes, `size` of them of a body, behind what is held."""
        self._add(pieces, size)
        self.flush()

    def _add(self, pieces: list[bytes], size: int) -> None:
        self._held = self._held + pieces if self._held else pieces
        self._held_bytes += size

    def flush(self) -> None:
        """Writes what is held: all at once, except that a large part is not copied to join it with others."""
        pieces = self._held
        if not pieces:
            return
        size = self._held_bytes
        self._held = []
        self._held_bytes = 0
        if size <= HOLD_BYTES:
            data = b"".join(pieces)
            if data:
                self._send(data)
        elif self._in_pieces:
            self.write_in_pieces(b"".join(pieces))
        else:
            self._transport.writelines(pieces)

    def write_in_pieces(self, data: bytes) -> None:
        """Writes bytes to a transport that notices only at the next write that its client does not take them."""
        for position in range(0, len(data), PIECE):
            self._transport.write(data[position : position + PIECE])

    def close(self) -> None:
        """Closes the transport behind what is held."""
        self.flush()
        self._transport.close()

    def drop(self) -> None:
        """Forgets what is held: nobody takes it any more."""
        self._held = []
        self._held_bytes = 0
