"""The counters of one loop: its requests, connections and bytes.

The loop's thread owns them and is the only one to write. Any thread may read at any time, without cost to the loop:
they are machine numbers, and containers that are copied in one step.
"""

import logging
from array import array
from dataclasses import dataclass, field
from time import time
from typing import NamedTuple

from threadserve.metrics.histogram import COUNT_BYTES, Distribution, Histogram

logger = logging.getLogger("threadserve.error")

# Requests are counted by the first digit of their status.
STATUS_CLASSES = 10
# Requests that take longer are shown as slow unless a setting gives another limit.
DEFAULT_SLOW_SECONDS = 1.0
MAX_SLOW_REQUESTS = 20
EMPTY_DISTRIBUTION = Histogram().read_threadsafe()


class SlowRequest(NamedTuple):
    """A slow request without its query string. `ended` is in seconds of the epoch, the other times in seconds."""

    ended: float
    request: str
    status: int
    seconds: float
    first_byte: float
    thread: int


@dataclass(frozen=True)
class LoopCounts:
    """The counts of a loop, and of the dead loops that it replaces, when they were read."""

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
    """The counters of one loop, the `thread`th of its process. Only that thread may add to the public attributes.

    A request that takes longer than `slow_seconds` is kept, and logged if a setting gave that limit. `received` and
    `sent` are in bytes; `websockets_open` counts those of all `websockets` that have not ended.
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
        self.slow_seconds = DEFAULT_SLOW_SECONDS if slow_seconds is None else slow_seconds
        self._logs_slow = slow_seconds is not None
        self._requests = array("Q", bytes(COUNT_BYTES * STATUS_CLASSES))
        self._duration = Histogram()
        self._first_byte = Histogram()
        # A list, because copying one is a single step without the GIL too; copying a deque is not.
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
        """Count a finished request. Both times are in seconds from its head; `first_byte` is the response's."""
        self._requests[status // 100] += 1
        self._duration.add(seconds)
        self._first_byte.add(first_byte)

    def on_slow(self, request: str, version: str, status: int, seconds: float, first_byte: float) -> None:
        """Keep a request that took longer than `slow_seconds`, and log it if a setting gave that limit."""
        # The query string may have secrets, and the status page shows this.
        without_query = request.partition("?")[0]
        self._slow.append(SlowRequest(time(), without_query, status, seconds, first_byte, self.thread))
        del self._slow[:-MAX_SLOW_REQUESTS]
        if self._logs_slow:
            logger.warning(
                'Slow request: "%s HTTP/%s" took %.3f s, %.3f s to the first byte: %d, thread %d',
                request, version, seconds, first_byte, status, self.thread,
            )  # fmt: skip

    def on_refusal(self, status: int) -> None:
        """Count a request that the server itself refused."""
        self.refusals[status] = self.refusals.get(status, 0) + 1

    def list_slow_threadsafe(self) -> list[SlowRequest]:
        """Return the last slow requests, the oldest first."""
        return self._slow.copy()[-MAX_SLOW_REQUESTS:]

    def read_threadsafe(self) -> LoopCounts:
        """Return the current counts."""
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
