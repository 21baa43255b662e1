"""What one loop counts and measures: its requests, connections and bytes.

Belongs to the loop's thread, which alone writes it. Any other thread may read it at any time and costs the loop nothing
by that: these are numbers of the machine's, and containers that are copied in one step.
"""

import logging
from array import array
from dataclasses import dataclass, field
from time import time
from typing import NamedTuple

from threadserve.metrics.histogram import COUNT_BYTES, Distribution, Histogram

logger = logging.getLogger("threadserve.error")

# Of requests, by the first digit of the status.
STATUS_CLASSES = 10
# What takes longer, in seconds, is shown as slow where no setting says what is.
SLOW_SECONDS = 1.0
MAX_SLOW_REQUESTS = 20
EMPTY_DISTRIBUTION = Histogram().read_threadsafe()


class SlowRequest(NamedTuple):
    """A request that took long, which ended at `ended`, in seconds of the epoch. `request` has no query string."""

    ended: float
    request: str
    status: int
    seconds: float
    first_byte: float
    thread: int


@dataclass(frozen=True)
class LoopCounts:
    """What a loop, and those before it in its place, have counted by the time of reading."""

    requests: tuple[int, ...] = (0,) * STATUS_CLASSES
    duration: Distribution = EMPTY_DISTRIBUTION
    first_byte: Distribution = EMPTY_DISTRIBUTION
    queue_time: Distribution = EMPTY_DISTRIBUTION
    accept_to_app: Distribution = EMPTY_DISTRIBUTION
    received: int = 0
    sent: int = 0
    accepted: int = 0
    websockets: int = 0
    tls_handshakes: int = 0
    tls_failures: int = 0
    exhaustions: int = 0
    refusals: dict[int, int] = field(default_factory=dict)

    def __add__(self, other: "LoopCounts") -> "LoopCounts":
        statuses = sorted({*self.refusals, *other.refusals})
        return LoopCounts(
            tuple(map(sum, zip(self.requests, other.requests, strict=True))),
            self.duration + other.duration,
            self.first_byte + other.first_byte,
            self.queue_time + other.queue_time,
            self.accept_to_app + other.accept_to_app,
            self.received + other.received,
            self.sent + other.sent,
            self.accepted + other.accepted,
            self.websockets + other.websockets,
            self.tls_handshakes + other.tls_handshakes,
            self.tls_failures + other.tls_failures,
            self.exhaustions + other.exhaustions,
            {status: self.refusals.get(status, 0) + other.refusals.get(status, 0) for status in statuses},
        )


NO_COUNTS = LoopCounts()


class LoopMetrics:
    """Counts for one loop, the `thread`th of its process. The public attributes are for the loop's thread to add to.

    `slow_seconds` is how long a request may take without being noted, and logged where somebody has set it; `received`
    and `sent` are bytes, and `websockets_open` are those of all `websockets` that have not ended.
    """

    __slots__ = (
        "_duration",
        "_first_byte",
        "_logs_slow",
        "_requests",
        "_slow",
        "accept_to_app",
        "accepted",
        "exhaustions",
        "queue_time",
        "received",
        "refusals",
        "sent",
        "slow_seconds",
        "thread",
        "tls_failures",
        "tls_handshakes",
        "websockets",
        "websockets_open",
    )

    def __init__(self, thread: int = 1, slow_seconds: float | None = None) -> None:
        self.thread = thread
        self.slow_seconds = SLOW_SECONDS if slow_seconds is None else slow_seconds
        self._logs_slow = slow_seconds is not None
        self._requests = array("Q", bytes(COUNT_BYTES * STATUS_CLASSES))
        self._duration = Histogram()
        self._first_byte = Histogram()
        # Its copy is made in one step also without the GIL, which that of a deque is not.
        self._slow: list[SlowRequest] = []
        self.queue_time = Histogram()
        self.accept_to_app = Histogram()
        self.received = 0
        self.sent = 0
        self.accepted = 0
        self.exhaustions = 0
        self.websockets = 0
        self.websockets_open = 0
        self.tls_handshakes = 0
        self.tls_failures = 0
        self.refusals: dict[int, int] = {}

    def on_response(self, status: int, seconds: float, first_byte: float) -> None:
        """Counts a request that is at its end, from its head on, and the time to the first byte of its response."""
        self._requests[status // 100] += 1
        self._duration.add(seconds)
        self._first_byte.add(first_byte)

    def on_slow(self, request: str, version: str, status: int, seconds: float, first_byte: float) -> None:
        """Notes a request that took longer than `slow_seconds`, and logs it if that is wanted."""
        # Without the query string, which may have secrets: this is shown.
        shown = request.partition("?")[0]
        self._slow.append(SlowRequest(time(), shown, status, seconds, first_byte, self.thread))
        del self._slow[:-MAX_SLOW_REQUESTS]
        if self._logs_slow:
            logger.warning(
                'Slow request: "%s HTTP/%s" took %.3f s, %.3f s to the first byte: %d, thread %d',
                request, version, seconds, first_byte, status, self.thread,
            )  # fmt: skip

    def on_refusal(self, status: int) -> None:
        """Counts a request that the server has refused itself."""
        self.refusals[status] = self.refusals.get(status, 0) + 1

    def slow_threadsafe(self) -> list[SlowRequest]:
        """The last requests that took long."""
        return self._slow.copy()[-MAX_SLOW_REQUESTS:]

    def read_threadsafe(self) -> LoopCounts:
        """What has been counted so far."""
        return LoopCounts(
            tuple(self._requests),
            self._duration.read_threadsafe(),
            self._first_byte.read_threadsafe(),
            self.queue_time.read_threadsafe(),
            self.accept_to_app.read_threadsafe(),
            self.received,
            self.sent,
            self.accepted,
            self.websockets,
            self.tls_handshakes,
            self.tls_failures,
            self.exhaustions,
            self.refusals.copy(),
        )
