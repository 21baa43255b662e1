"""Which stream's data is sent next, and how much of it (RFC 9113 section 5.2, RFC 9218 section 10).

A sender belongs to one connection, on its loop's thread. It owns the order of the streams that have something to send;
what that is, is theirs. It never waits: who has to is told so by his stream's flow control.
"""

from collections import OrderedDict

from threadserve.http.flow import FlowControl
from threadserve.http.output import Output
from threadserve.http2.budgets import Budget
from threadserve.http2.priorities import Priority
from threadserve.http2.state import H2State
from threadserve.http2.stream import H2Stream

URGENCIES = 8
# For so many bytes that it was sent, a client has good reason to tell once more that it takes others.
EARNING_BYTES = 2048
# So many bytes leave before more is made.
FLUSH_BYTES = 65536
# The largest frame: another stream that is as urgent has its turn behind it.
PART = 16384


class Sender:
    """Sends what the streams of a connection have, as far as the client and the transport take it.

    The most urgent go first. Of those, streams whose responses are of use only as a whole follow one another, and take
    turns, frame by frame, with all that are of use in parts.
    """

    __slots__ = ("_control", "_flow", "_output", "_shared", "_state", "_takes_whole", "_whole")

    def __init__(self, state: H2State, output: Output, flow: FlowControl, control: Budget) -> None:
        self._state = state
        self._output = output
        self._flow = flow
        self._control = control
        # By urgency: streams that have something to send, and whose clients take it.
        self._whole: list[OrderedDict[int, H2Stream]] = [OrderedDict() for _ in range(URGENCIES)]
        self._shared: list[OrderedDict[int, H2Stream]] = [OrderedDict() for _ in range(URGENCIES)]
        self._takes_whole = False

    def add(self, stream: H2Stream) -> None:
        """A stream has something to send, or may send again."""
        self._queue_of(stream.priority)[stream.id] = stream

    def discard(self, stream: H2Stream) -> None:
        """A stream sends nothing for now."""
        self._queue_of(stream.priority).pop(stream.id, None)

    def change_priority(self, stream: H2Stream, priority: Priority) -> None:
        """A stream is to be sent before others, or after them."""
        is_queued = self._queue_of(stream.priority).pop(stream.id, None) is not None
        stream.priority = priority
        if is_queued:
            self.add(stream)

    def _queue_of(self, priority: Priority) -> OrderedDict[int, H2Stream]:
        return (self._shared if priority.is_incremental else self._whole)[priority.urgency]

    def send(self) -> None:
        """Sends as much as may be sent, and lets it leave."""
        unsent = 0
        while not self._flow.write_paused and (stream := self._next()) is not None:
            unsent += self._send_part(stream)
            if unsent >= FLUSH_BYTES:
                self.flush()
                unsent = 0
        self.flush()

    def _next(self) -> H2Stream | None:
        for whole, shared in zip(self._whole, self._shared, strict=True):
            if not whole and not shared:
                continue
            self._takes_whole = bool(whole) and not (self._takes_whole and shared)
            return next(iter((whole if self._takes_whole else shared).values()))
        return None

    def _send_part(self, stream: H2Stream) -> int:
        """Sends the next frame of a stream; returns its size."""
        state = self._state
        size = min(stream.queued, PART, state.max_outbound_frame_size)
        if size:
            size = min(size, state.local_flow_control_window(stream.id))
            if size <= 0:
                self._wait_for_window(stream)
                return 0
        data = stream.take(size)
        ends = stream.has_ended and not stream.queued
        trailers = stream.trailers if ends else None
        if data or not trailers:
            state.send_data(stream.id, data, end_stream=ends and not trailers)
        if trailers:
            state.send_block(stream.id, trailers, is_informational=False, ends=True)
        self._control.earn(size // EARNING_BYTES)
        if not stream.queued:
            self.discard(stream)
        elif stream.priority.is_incremental:
            self._queue_of(stream.priority).move_to_end(stream.id)
        if ends:
            stream.on_end_sent()
        return size

    def _wait_for_window(self, stream: H2Stream) -> None:
        """The client takes no more: of this stream, or of any."""
        self.discard(stream)
        stream.awaits_window = True

    def flush(self) -> None:
        """Lets what has been said leave."""
        data = self._state.data_to_send()
        if len(data) > FLUSH_BYTES:
            self._output.write([data], len(data))
        elif data:
            self._output.hold([data], len(data), more=False)
