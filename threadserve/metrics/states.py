"""What a process tells of itself at a moment: plain values, that may be shown, added up, and passed to another process.

Made on the thread that asks, and never written afterwards.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from threadserve.metrics.histogram import Distribution
from threadserve.metrics.loop_metrics import EMPTY_DISTRIBUTION, NO_COUNTS, LoopCounts, SlowRequest

# How far a server has come.
STARTING = "starting"
SERVING = "serving"
DRAINING = "draining"
STOPPING = "stopping"


class Detail(IntEnum):
    """How much is told: whether all is well, what is counted as well, and what the threads do, which takes a moment."""

    HEALTH = 0
    NUMBERS = 1
    CALLS = 2


class RunningCall(NamedTuple):
    """A request in flight, without its query string, for how many seconds, and where its code stands, if known."""

    request: str
    seconds: float
    place: str = ""


class Stall(NamedTuple):
    """A loop did not turn: noticed at `seen`, in seconds of the epoch, and for `seconds`, or None if it still does not.

    `place` is the innermost line of what blocked it.
    """

    thread: int
    seen: float
    seconds: float | None
    place: str


class LoggedProblem(NamedTuple):
    """What the log said as a warning or worse, at `at`, in seconds of the epoch."""

    at: float
    level: str
    message: str


@dataclass(frozen=True)
class LoopState:
    """One loop. It `has_started` once it serves; `stalled_for` is for how many seconds it is late with its next turn.

    `cpu` is for how many seconds its thread has run. `place` is where that stands while the loop does not turn, and
    `calls` are what it serves. What was not asked for is not there.
    """

    number: int
    has_started: bool
    stalled_for: float
    in_flight: int = 0
    connections: int = 0
    cpu: float = 0.0
    websockets: int = 0
    counts: LoopCounts = NO_COUNTS
    lag: Distribution = EMPTY_DISTRIBUTION
    stalls: int = 0
    slow: tuple[SlowRequest, ...] = ()
    calls: tuple[RunningCall, ...] = ()
    place: str = ""


@dataclass(frozen=True)
class PoolState:
    """The threads that call a WSGI application, and the calls that wait for one of them."""

    threads: int
    busy: int
    stuck: int
    queue: int
    queue_limit: int
    timeouts: int
    refused: int
    calls: tuple[RunningCall, ...] = ()


@dataclass(frozen=True)
class ProcessState:
    """One process that serves. `stall_limit` is for how many seconds a loop may not turn, or 0 for ever.

    `idle` are connections that belong to no loop, `memory` is in bytes, `cpu` in seconds, and `started_at` in seconds
    of the epoch.
    """

    pid: int
    phase: str
    started_at: float
    stall_limit: float
    loops: tuple[LoopState, ...]
    pool: PoolState | None = None
    idle: int = 0
    exhaustions: int = 0
    threads_replaced: int = 0
    is_gil_enabled: bool = True
    memory: int = 0
    cpu: float = 0.0
    descriptors: int = 0
    threads: int = 0
    stalls: tuple[Stall, ...] = ()
    problems: tuple[LoggedProblem, ...] = ()

    @property
    def is_stalled(self) -> bool:
        """Whether none of the loops that serve turns."""
        started = [loop for loop in self.loops if loop.has_started]
        return bool(self.stall_limit and started) and all(loop.stalled_for > self.stall_limit for loop in started)

    @property
    def is_ready(self) -> bool:
        """Whether requests are served, by every loop that there is to be."""
        return self.phase == SERVING and not self.is_stalled and all(loop.has_started for loop in self.loops)


@dataclass(frozen=True)
class ServerState:
    """A server: its processes, those of several that do not tell how they are, and how many have been replaced.

    `phase` is that of the whole; `workers` is how many processes there are to be, or 0 where there is but one.
    """

    phase: str
    processes: tuple[ProcessState, ...]
    workers: int = 0
    silent: tuple[int, ...] = ()
    workers_replaced: int = 0
    problems: tuple[LoggedProblem, ...] = ()

    def why_not_alive(self) -> str:
        """Why the server is to be ended from outside, or nothing."""
        is_lost = self.processes and not self.silent and all(process.is_stalled for process in self.processes)
        return "every loop thread is blocked" if is_lost else ""

    def why_not_ready(self) -> str:
        """Why no request is to be sent here, or nothing."""
        if self.phase != SERVING:
            return f"the server is {self.phase}"
        if any(process.is_ready for process in self.processes):
            return ""
        return self.why_not_alive() or "no process is ready"
