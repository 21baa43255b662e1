"""What leaves for the clients, and when.

Runs on the loop's thread. A `WriteBuffer` belongs to its connection and owns its unwritten bytes; the `WriteBatcher`
belongs to the loop and knows which buffers hold any. Neither looks at the bytes.
"""

import asyncio
from math import inf

from threadserve.http.bounds import Bounds
from threadserve.metrics.loop_metrics import LoopMetrics

# How many bytes may wait for others that leave with them. What is larger is not copied to join it with what goes before
# and behind it.
HOLD_BYTES = 65536
# Where a turn of the loop sends so many answers or fewer, they leave by halves.
FEW = 7
# After so many answers that went at once, the next turn is looked at.
LOOK_EVERY = 8
# How much is written at a time to a transport that notices only at the next write that its client takes nothing.
PIECE = 65536


class WriteBatcher:
    """Has what many connections of a loop are sent leave together: as many answers as its last turn sent, or half.

    A write wakes its client up. Where many small answers are written one by one, clients and server take turns on the
    same processors for every one of them; where a few leave together at the end of a turn, each side waits for the
    other. By halves, the clients work at one while the loop works at the next. So every turn, while anything is held,
    and now and then one while nothing is, is looked at for how much was sent in it.
    """

    __slots__ = (
        "_blocked_seconds",
        "_is_due",
        "_left_at",
        "_loop",
        "_outputs",
        "_posted",
        "_rests_until",
        "_seen_at",
        "_together",
        "_unbatched_seconds",
        "_until_look",
        "_watches",
        "batch_seconds",
        "clock",
        "metrics",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, bounds: Bounds, metrics: LoopMetrics | None = None) -> None:
        self._loop = loop
        self.metrics = metrics
        self.clock = bounds.clock
        self.batch_seconds = bounds.batch_seconds
        self._blocked_seconds = bounds.blocked_seconds
        self._unbatched_seconds = bounds.unbatched_seconds
        self._outputs: list[WriteBuffer] = []
        # How many outputs leave together; one alone does at once.
        self._together = 1
        self._is_due = False
        self._posted = 0
        self._until_look = LOOK_EVERY
        self._watches = False
        self._left_at = 0.0
        self._seen_at = 0.0
        self._rests_until = -inf

    def post(self, output: "WriteBuffer") -> None:
        """Has an output flushed: at once where little is sent in a turn of the loop, else with others."""
        if self._together > 1:
            self._hold_for_others(output)
            return
        if self._watches:
            self._look()
        output.flush()
        self._posted += 1
        self._until_look -= 1
        if not self._until_look:
            self._loop.call_soon(self._watch)

    def _watch(self) -> None:
        """From its first answer on, the next turn is looked at: part of one would tell too little."""
        self._watches = True

    def _hold_for_others(self, output: "WriteBuffer") -> None:
        now = self.clock()
        is_late = now - self._left_at >= self.batch_seconds
        is_blocked = self._is_due and self._finds_blocked(now)
        self.keep(output)
        self._seen_at = now
        if is_late or is_blocked or len(self._outputs) >= self._together:
            self._left_at = now
            self._flush_all()

    def keep(self, output: "WriteBuffer") -> None:
        """Has an output flushed at the end of the turn."""
        self._look()
        self._posted += 1
        if not output.is_kept:
            output.is_kept = True
            self._outputs.append(output)

    def _look(self) -> None:
        """Looks how many answers and parts are sent from here to the end of the turn."""
        if not self._is_due:
            self._is_due = True
            self._posted = 0
            self._left_at = self._seen_at = self.clock()
            self._loop.call_soon(self._on_turn)

    def _finds_blocked(self, now: float) -> bool:
        """Whether the loop has been blocked since it was last seen in this turn; it then holds nothing for a while."""
        if now - self._seen_at <= self._blocked_seconds:
            return False
        self._rests_until = now + self._unbatched_seconds
        self._together = 1
        return True

    def _on_turn(self) -> None:
        now = self.clock()
        if not self._finds_blocked(now):
            self._together = self._share() if now >= self._rests_until else 1
        self._is_due = False
        self._watches = False
        self._until_look = LOOK_EVERY
        self._left_at = now
        self._flush_all()

    def _share(self) -> int:
        """How many outputs leave together after a turn that sent so many answers."""
        return self._posted if self._posted > FEW else self._posted // 2 + 1

    def _flush_all(self) -> None:
        outputs, self._outputs = self._outputs, []
        for output in outputs:
            output.is_kept = False
            try:
                output.flush()
            except Exception as error:
                # What was taken of this one is lost, and so is the connection; the others are not.
                self._loop.call_exception_handler({"message": "Writing to a client failed", "exception": error})
                output.abort()


class WriteBuffer:
    """The bytes of one connection on their way to its transport, in order."""

    __slots__ = ("_batcher", "_held", "_held_bytes", "_in_pieces", "_part_at", "_send", "_transport", "is_kept")

    def __init__(self, write_batcher: WriteBatcher, *, in_pieces: bool) -> None:
        self._batcher = write_batcher
        self._in_pieces = in_pieces
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._part_at = -inf
        # Whether the write_batcher has it among those to flush.
        self.is_kept = False

    def open(self, transport: asyncio.Transport) -> None:
        """The connection is open."""
        self._transport = transport
        self._send = transport.write

    def hold(self, pieces: list[bytes], size: int, more: bool) -> None:
        """Takes a list of bytes, `size` of them of a body, that may leave together with others: see `WriteBatcher`.

        `more` says that they are a part which others follow: those that come in quick succession leave together on any
        loop. The list is the output's own from then on.
        """
        is_quick = more and self._comes_quickly()
        self._add(pieces, size)
        if self._held_bytes >= HOLD_BYTES:
            self.flush()
        elif is_quick:
            self._batcher.keep(self)
        else:
            self._batcher.post(self)

    def _comes_quickly(self) -> bool:
        """Whether this part comes within `batch_seconds` of the last one."""
        before, self._part_at = self._part_at, self._batcher.clock()
        return self._part_at - before < self._batcher.batch_seconds

    def write(self, pieces: list[bytes], size: int) -> None:
        """Writes bytes, `size` of them of a body, behind what is held."""
        self._add(pieces, size)
        self.flush()

    def _add(self, pieces: list[bytes], size: int) -> None:
        if not pieces:
            # Of a response that has no body, whatever the application sends.
            return
        if self._held:
            self._held += pieces
        else:
            self._held = pieces
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
                self.count(len(data))
        elif self._in_pieces:
            self.write_in_pieces(b"".join(pieces))
        elif not self._transport.is_closing():
            # Of a connection that is lost, asyncio of 3.12 and later would watch the file descriptor, which another
            # has by then; and over an empty piece at the end it would write for ever.
            self._transport.writelines([piece for piece in pieces if piece])
            self.count(sum(map(len, pieces)))

    def write_in_pieces(self, data: bytes) -> None:
        """Writes bytes to a transport that notices only at the next write that its client does not take them."""
        for position in range(0, len(data), PIECE):
            self._transport.write(data[position : position + PIECE])
        self.count(len(data))

    def count(self, size: int) -> None:
        """So many bytes have been given to the transport."""
        metrics = self._batcher.metrics
        if metrics is not None:
            metrics.sent += size

    def close(self) -> None:
        """Closes the transport behind what is held."""
        self.flush()
        self._transport.close()

    def write_eof(self) -> None:
        """Says that nothing more follows. Called when nothing is held, and not over TLS."""
        try:
            self._transport.write_eof()
        except OSError:
            # The client has gone, of which the loop has not heard yet.
            self._transport.abort()

    def abort(self) -> None:
        """Ends the connection at once: what it has sent is not what it should be."""
        self._transport.abort()

    def drop(self) -> None:
        """Forgets what is held: nobody takes it any more."""
        self._held = []
        self._held_bytes = 0
