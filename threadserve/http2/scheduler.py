"""The scheduler of a connection's streams (RFC 9113 section 5.2, RFC 9218 section 10).

It decides which stream sends next, and how much. It belongs to one connection, on its loop's thread, and owns the
queues of streams that have data to send; the data belongs to the streams. It never waits: applications wait by their
stream's flow control.
"""

from collections import OrderedDict

from hyperframe.frame import WindowUpdateFrame

from threadserve.http.flow import FlowControl
from threadserve.http.write_buffer import WriteBuffer
from threadserve.http2.budgets import Budget
from threadserve.http2.priorities import Priority
from threadserve.http2.state_machine import H2StateMachine
from threadserve.http2.stream import H2Stream

URGENCY_LEVELS = 8
# The bytes sent to a client for which it may send one more WINDOW_UPDATE.
BYTES_PER_WINDOW_UPDATE = 512
# A frame that empties a stream's queue may be answered by so many: for the stream, and for the connection.
WINDOW_UPDATES_PER_FRAME = 2
# The bytes that are collected before they are flushed.
FLUSH_BYTES = 65536
# From this size on, data bypasses the library.
MIN_DIRECT_BYTES = 4096
# The largest frame; equally urgent streams take turns by frames.
MAX_DATA_BYTES = 16384


class SendScheduler:
    """Sends the data of a connection's streams, as far as flow control and the transport allow.

    The most urgent streams are sent first. Among those, streams that are not incremental are sent one after the other,
    and that one takes turns, frame by frame, with all incremental streams.
    """

    __slots__ = (
        "_control_budget",
        "_flow",
        "_incremental",
        "_last_was_sequential",
        "_output",
        "_pieces",
        "_queued",
        "_sequential",
        "_state",
        "_uncounted_bytes",
        "_unflushed_bytes",
    )

    def __init__(self, state: H2StateMachine, output: WriteBuffer, flow: FlowControl, control_budget: Budget) -> None:
        self._state = state
        self._output = output
        self._flow = flow
        self._control_budget = control_budget
        # By urgency: the streams that have data to send and window for it.
        self._sequential: list[OrderedDict[int, H2Stream]] = [OrderedDict() for _ in range(URGENCY_LEVELS)]
        self._incremental: list[OrderedDict[int, H2Stream]] = [OrderedDict() for _ in range(URGENCY_LEVELS)]
        self._last_was_sequential = False
        self._queued = 0
        # Frames that have not been flushed; the library's output comes after them.
        self._pieces: list[bytes] = []
        self._unflushed_bytes = 0
        self._uncounted_bytes = 0

    def send_or_enqueue(self, stream: H2Stream) -> None:
        """Send a frame of a stream at once if no other stream waits, and enqueue the stream if data is left.

        The frame leaves with the next `flush`.
        """
        if (
            self._queued
            or self._flow.write_paused
            or (self._send_frame(stream) >= 0 and stream.queued and not stream.awaits_window)
        ):
            self.enqueue(stream)

    def enqueue(self, stream: H2Stream) -> None:
        """Add a stream that has data to send and window for it."""
        queue = self._queue_for(stream.priority)
        if stream.id not in queue:
            queue[stream.id] = stream
            self._queued += 1

    def dequeue(self, stream: H2Stream) -> bool:
        """Remove a stream from its queue; return whether it was in it."""
        if not self._queued or self._queue_for(stream.priority).pop(stream.id, None) is None:
            return False
        self._queued -= 1
        return True

    def change_priority(self, stream: H2Stream, priority: Priority) -> None:
        """Move a stream to the queue of its new priority."""
        is_queued = self.dequeue(stream)
        stream.priority = priority
        if is_queued:
            self.enqueue(stream)

    def _queue_for(self, priority: Priority) -> OrderedDict[int, H2Stream]:
        return (self._incremental if priority.is_incremental else self._sequential)[priority.urgency]

    def send(self) -> None:
        """Send as much as flow control and the transport allow, and flush."""
        while self._queued and not self._flow.write_paused:
            stream = self._next_stream()
            size = self._send_frame(stream)
            if size < 0:
                break
            if not stream.queued:
                self.dequeue(stream)
            elif stream.priority.is_incremental and not stream.awaits_window:
                self._queue_for(stream.priority).move_to_end(stream.id)
        self.flush()

    def _next_stream(self) -> H2Stream:
        urgency = 0
        while not self._sequential[urgency] and not self._incremental[urgency]:
            urgency += 1
        sequential, incremental = self._sequential[urgency], self._incremental[urgency]
        self._last_was_sequential = bool(sequential) and not (self._last_was_sequential and incremental)
        return next(iter((sequential if self._last_was_sequential else incremental).values()))

    def _send_frame(self, stream: H2Stream) -> int:
        """Send a stream's next frame; return its size, or -1 if the connection's window is exhausted."""
        state = self._state
        size = min(stream.queued, MAX_DATA_BYTES, state.max_outbound_frame_size)
        if size:
            size = min(size, state.local_flow_control_window(stream.id))
            if size <= 0:
                return self._stop_for_window(stream)
        data = stream.take(size)
        ends = stream.response_has_ended and not stream.queued
        if size >= MIN_DIRECT_BYTES and not ends:
            self._pieces += state.frame_large_data(stream.id, data)
            return self._count(stream, size)
        trailers = stream.trailers if ends else None
        if data or not trailers:
            state.send_data(stream.id, data, end_stream=ends and not trailers)
        if trailers:
            state.send_block(stream.id, trailers, is_informational=False, ends=True)
        self._count(stream, size)
        if ends:
            stream.on_end_sent()
        return size

    def _count(self, stream: H2Stream, size: int) -> int:
        """Count bytes that were sent, and return their number."""
        earned, self._uncounted_bytes = divmod(self._uncounted_bytes + size, BYTES_PER_WINDOW_UPDATE)
        # A frame cut short by a small window earns by its size alone.
        self._control_budget.earn(earned if stream.queued else max(earned, WINDOW_UPDATES_PER_FRAME))
        self._unflushed_bytes += size
        if self._unflushed_bytes >= FLUSH_BYTES:
            self.flush()
        return size

    def _stop_for_window(self, stream: H2Stream) -> int:
        """Stop a stream whose window is exhausted; return -1 if the connection's window is."""
        if self._state.outbound_flow_control_window <= 0:
            self.enqueue(stream)
            return -1
        self.dequeue(stream)
        stream.awaits_window = True
        return 0

    def restore_window(self, size: int) -> None:
        """Give back connection window for bytes that the library has not seen."""
        self._pieces += [self._state.data_to_send(), WindowUpdateFrame(0, window_increment=size).serialize()]

    def flush(self) -> None:
        """Write the collected frames."""
        size, self._unflushed_bytes = self._unflushed_bytes, 0
        pieces, self._pieces = self._pieces, []
        data = self._state.data_to_send()
        if data:
            pieces.append(data)
        if pieces:
            self._output.write_batched(pieces, max(size, len(data)), more=False)
