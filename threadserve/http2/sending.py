"""Which stream's data is sent next, and how much of it (RFC 9113 section 5.2, RFC 9218 section 10).

A sender belongs to one connection, on its loop's thread. It owns the order of the streams that have something to send;
what that is, is theirs. It never waits: who has to is told so by his stream's flow control.
"""

from collections import OrderedDict

from hyperframe.frame import WindowUpdateFrame

from threadserve.http.flow import FlowControl
from threadserve.http.write_buffer import WriteBuffer
from threadserve.http2.budgets import Budget
from threadserve.http2.priorities import Priority
from threadserve.http2.state import H2State
from threadserve.http2.stream import H2Stream

URGENCIES = 8
# For so many bytes that it was sent, a client has good reason to tell once more that it takes others.
EARNING_BYTES = 512
# A frame of all that there was may be answered so often: for its stream, and for the connection.
FRAME_EARNS = 2
# So many bytes leave before more is made.
FLUSH_BYTES = 65536
# From this size on data is not given to the library.
LARGE = 4096
# The largest frame: another stream that is as urgent has its turn behind it.
PART = 16384


class Sender:
    """Sends what the streams of a connection have, as far as the client and the transport take it.

    The most urgent go first. Of those, streams whose responses are of use only as a whole follow one another, and take
    turns, frame by frame, with all that are of use in parts.
    """

    __slots__ = (
        "_control",
        "_flow",
        "_output",
        "_pieces",
        "_queued",
        "_shared",
        "_state",
        "_takes_whole",
        "_unearned",
        "_unsent",
        "_whole",
    )

    def __init__(self, state: H2State, output: WriteBuffer, flow: FlowControl, control: Budget) -> None:
        self._state = state
        self._output = output
        self._flow = flow
        self._control = control
        # By urgency: streams that have something to send, and whose clients take it.
        self._whole: list[OrderedDict[int, H2Stream]] = [OrderedDict() for _ in range(URGENCIES)]
        self._shared: list[OrderedDict[int, H2Stream]] = [OrderedDict() for _ in range(URGENCIES)]
        self._takes_whole = False
        self._queued = 0
        # What has been sent and has not left: what the library has to send comes behind it.
        self._pieces: list[bytes] = []
        self._unsent = 0
        self._unearned = 0

    def offer(self, stream: H2Stream) -> None:
        """A stream has something to send: some of it is sent at once where nothing else waits.

        It leaves with the next `flush`.
        """
        if (
            self._queued
            or self._flow.write_paused
            or (self._send_part(stream) >= 0 and stream.queued and not stream.awaits_window)
        ):
            self.add(stream)

    def add(self, stream: H2Stream) -> None:
        """A stream has something to send, or may send again."""
        queue = self._queue_of(stream.priority)
        if stream.id not in queue:
            queue[stream.id] = stream
            self._queued += 1

    def discard(self, stream: H2Stream) -> bool:
        """A stream sends nothing for now; returns whether it would have."""
        if not self._queued or self._queue_of(stream.priority).pop(stream.id, None) is None:
            return False
        self._queued -= 1
        return True

    def change_priority(self, stream: H2Stream, priority: Priority) -> None:
        """A stream is to be sent before others, or after them."""
        is_queued = self.discard(stream)
        stream.priority = priority
        if is_queued:
            self.add(stream)

    def _queue_of(self, priority: Priority) -> OrderedDict[int, H2Stream]:
        return (self._shared if priority.is_incremental else self._whole)[priority.urgency]

    def send(self) -> None:
        """Sends as much as may be sent, and lets it leave."""
        while self._queued and not self._flow.write_paused:
            stream = self._next()
            size = self._send_part(stream)
            if size < 0:
                break
            if not stream.queued:
                self.discard(stream)
            elif stream.priority.is_incremental and not stream.awaits_window:
                self._queue_of(stream.priority).move_to_end(stream.id)
        self.flush()

    def _next(self) -> H2Stream:
        urgency = 0
        while not self._whole[urgency] and not self._shared[urgency]:
            urgency += 1
        whole, shared = self._whole[urgency], self._shared[urgency]
        self._takes_whole = bool(whole) and not (self._takes_whole and shared)
        return next(iter((whole if self._takes_whole else shared).values()))

    def _send_part(self, stream: H2Stream) -> int:
        """Sends the next frame of a stream; returns its size, or -1 where the client takes no more of any stream."""
        state = self._state
        size = min(stream.queued, PART, state.max_outbound_frame_size)
        if size:
            size = min(size, state.local_flow_control_window(stream.id))
            if size <= 0:
                return self._wait_for_window(stream)
        data = stream.take(size)
        ends = stream.has_ended and not stream.queued
        if size >= LARGE and not ends:
            self._pieces += state.large_data(stream.id, data)
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
        """So many bytes have been sent; returns how many."""
        earned, self._unearned = divmod(self._unearned + size, EARNING_BYTES)
        # One that its client's window has made small earns by its size alone.
        self._control.earn(earned if stream.queued else max(earned, FRAME_EARNS))
        self._unsent += size
        if self._unsent >= FLUSH_BYTES:
            self.flush()
        return size

    def _wait_for_window(self, stream: H2Stream) -> int:
        """The client takes no more of this stream, which then waits by itself, or of any."""
        if self._state.outbound_flow_control_window <= 0:
            self.add(stream)
            return -1
        self.discard(stream)
        stream.awaits_window = True
        return 0

    def widen(self, size: int) -> None:
        """Gives back window for bytes that the library has not seen, on no stream."""
        self._pieces += [self._state.data_to_send(), WindowUpdateFrame(0, window_increment=size).serialize()]

    def flush(self) -> None:
        """Lets what has been said leave."""
        size, self._unsent = self._unsent, 0
        pieces, self._pieces = self._pieces, []
        data = self._state.data_to_send()
        if data:
            pieces.append(data)
        if pieces:
            self._output.hold(pieces, max(size, len(data)), more=False)
