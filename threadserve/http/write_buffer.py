"""The bytes for the clients, and when they are written.

Runs on the loop's thread. A `WriteBuffer` belongs to its connection and owns its unwritten bytes; the `WriteBatcher`
belongs to the loop and knows which buffers hold any. Neither looks at the bytes.
"""

import asyncio
from math import inf

from threadserve.http.bounds import Bounds
from threadserve.metrics.loop_metrics import LoopMetrics

# More bytes than these do not wait for others, and are not copied to join them with what goes before and after.
MAX_HELD_BYTES = 65536
# After a turn of the loop that sent at most so many answers, they leave by halves.
SMALL_BATCH = 7
# After so many answers that left at once, the answers of the next turn are counted.
SAMPLE_EVERY = 8
# The most bytes at a time for a transport that notices only at the next write that its client takes nothing.
PIECE_BYTES = 65536


class WriteBatcher:
    """Batches the writes of a loop's connections: as many leave together as its last turn sent, or half as many.

    A write wakes its client up. Where many small answers are written one by one, clients and server take turns on the
    same processors for every one of them; where a few leave together at the end of a turn, each side waits for the
    other. By halves, the clients work at one while the loop works at the next. So the writes of every turn are counted
    while anything is held, and those of a turn now and then while nothing is. Belongs to the loop's thread.
    """

    __slots__ = (
        "_active_at",
        "_batch_size",
        "_blocked_seconds",
        "_buffers",
        "_flushed_at",
        "_is_turn_counted",
        "_loop",
        "_samples_turn",
        "_sent_in_turn",
        "_unbatched_seconds",
        "_unbatched_until",
        "_until_sample",
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
        self._buffers: list[WriteBuffer] = []
        # The number of buffers that leave together; one alone leaves at once.
        self._batch_size = 1
        self._is_turn_counted = False
        self._sent_in_turn = 0
        self._until_sample = SAMPLE_EVERY
        self._samples_turn = False
        self._flushed_at = 0.0
        self._active_at = 0.0
        self._unbatched_until = -inf

    def schedule(self, buffer: "WriteBuffer") -> None:
        """Flush a buffer: at once where little is sent in a turn of the loop, else with others."""
        if self._batch_size > 1:
            self._batch(buffer)
            return
        if self._samples_turn:
            self._begin_turn()
        buffer.flush()
        self._sent_in_turn += 1
        self._until_sample -= 1
        if not self._until_sample:
            self._loop.call_soon(self._sample_turn)

    def _sample_turn(self) -> None:
        """Count the next turn from its first answer on: part of a turn would tell too little."""
        self._samples_turn = True

    def _batch(self, buffer: "WriteBuffer") -> None:
        now = self.clock()
        is_late = now - self._flushed_at >= self.batch_seconds
        is_blocked = self._is_turn_counted and self._detects_blocked(now)
        self.flush_at_turn_end(buffer)
        self._active_at = now
        if is_late or is_blocked or len(self._buffers) >= self._batch_size:
            self._flushed_at = now
            self._flush_all()

    def flush_at_turn_end(self, buffer: "WriteBuffer") -> None:
        """Flush a buffer at the end of the turn."""
        self._begin_turn()
        self._sent_in_turn += 1
        if not buffer.is_scheduled:
            buffer.is_scheduled = True
            self._buffers.append(buffer)

    def _begin_turn(self) -> None:
        """Count the answers and parts that are sent from here to the end of the turn."""
        if not self._is_turn_counted:
            self._is_turn_counted = True
            self._sent_in_turn = 0
            self._flushed_at = self._active_at = self.clock()
            self._loop.call_soon(self._end_turn)

    def _detects_blocked(self, now: float) -> bool:
        """Return whether the loop has been blocked since it last sent in this turn; if so, stop batching a while."""
        if now - self._active_at <= self._blocked_seconds:
            return False
        self._unbatched_until = now + self._unbatched_seconds
        self._batch_size = 1
        return True

    def _end_turn(self) -> None:
        now = self.clock()
        if not self._detects_blocked(now):
            sent = self._sent_in_turn
            batch_size = sent if sent > SMALL_BATCH else sent // 2 + 1
            self._batch_size = batch_size if now >= self._unbatched_until else 1
        self._is_turn_counted = False
        self._samples_turn = False
        self._until_sample = SAMPLE_EVERY
        self._flushed_at = now
        self._flush_all()

    def _flush_all(self) -> None:
        buffers, self._buffers = self._buffers, []
        for buffer in buffers:
            buffer.is_scheduled = False
            try:
                buffer.flush()
            except Exception as error:
                # This buffer's bytes are lost, and so is its connection; the others are not.
                self._loop.call_exception_handler({"message": "Writing to a client failed", "exception": error})
                buffer.abort()


class WriteBuffer:
    """The bytes of one connection on their way to its transport, in order. Belongs to the connection's loop thread."""

    __slots__ = (
        "_batcher",
        "_held",
        "_held_bytes",
        "_last_part_at",
        "_send",
        "_transport",
        "_writes_in_pieces",
        "is_scheduled",
    )

    def __init__(self, write_batcher: WriteBatcher, *, in_pieces: bool) -> None:
        self._batcher = write_batcher
        self._writes_in_pieces = in_pieces
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._last_part_at = -inf
        # True while the batcher has the buffer among those to flush.
        self.is_scheduled = False

    def open(self, transport: asyncio.Transport) -> None:
        """Connect the buffer to the transport of its connection, which is open."""
        self._transport = transport
        self._send = transport.write

    def write_batched(self, pieces: list[bytes], size: int, more: bool) -> None:
        """Write a list of bytes, `size` of them of a body, perhaps together with others: see `WriteBatcher`.

        With `more`, they are a part that others follow: parts that come in quick succession leave together on any loop.
        The list is the buffer's own from then on.
        """
        is_quick = False
        if more:
            last_part_at, self._last_part_at = self._last_part_at, self._batcher.clock()
            is_quick = self._last_part_at - last_part_at < self._batcher.batch_seconds
        self._add(pieces, size)
        if self._held_bytes >= MAX_HELD_BYTES:
            self.flush()
        elif is_quick:
            self._batcher.flush_at_turn_end(self)
        else:
            self._batcher.schedule(self)

    def write(self, pieces: list[bytes], size: int) -> None:
        """Write bytes, `size` of them of a body, after what is held."""
        self._add(pieces, size)
        self.flush()

    def _add(self, pieces: list[bytes], size: int) -> None:
        if not pieces:
            # The response has no body, whatever the application sends.
            return
        if self._held:
            self._held += pieces
        else:
            self._held = pieces
        self._held_bytes += size

    def flush(self) -> None:
        """Write what is held: all at once, except that a large part is not copied to join it with others."""
        pieces = self._held
        if not pieces:
            return
        size = self._held_bytes
        self._held = []
        self._held_bytes = 0
        if size <= MAX_HELD_BYTES:
            data = b"".join(pieces)
            if data:
                self._send(data)
                self.count_sent(len(data))
        elif self._writes_in_pieces:
            self.write_in_pieces(b"".join(pieces))
        elif not self._transport.is_closing():
            # On a lost connection, asyncio of 3.12 and later would watch its file descriptor, which another connection
            # has by then; and with an empty piece at the end it would write for ever.
            self._transport.writelines([piece for piece in pieces if piece])
            self.count_sent(sum(map(len, pieces)))

    def write_in_pieces(self, data: bytes) -> None:
        """Write bytes to a transport that notices only at the next write that its client does not take them."""
        for position in range(0, len(data), PIECE_BYTES):
            self._transport.write(data[position : position + PIECE_BYTES])
        self.count_sent(len(data))

    def count_sent(self, size: int) -> None:
        """Count bytes that have been given to the transport."""
        metrics = self._batcher.metrics
        if metrics is not None:
            metrics.sent += size

    def close(self) -> None:
        """Close the transport after what is held."""
        self.flush()
        self._transport.close()

    def write_eof(self) -> None:
        """Tell the client that nothing more follows. Called when nothing is held, and not over TLS."""
        try:
            self._transport.write_eof()
        except OSError:
            # The client has gone, and the loop has not heard of it yet.
            self._transport.abort()

    def abort(self) -> None:
        """End the connection at once: what it has sent is not what it should be."""
        self._transport.abort()

    def discard(self) -> None:
        """Drop what is held: nobody takes it any more."""
        self._held = []
        self._held_bytes = 0
