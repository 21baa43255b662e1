"""Snapshots of loops, processes and the whole server: plain values to show, add up and pass to another process.

A snapshot is made on the thread that reads, and never written afterwards.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple

from threadserve.metrics.histogram import Distribution
from threadserve.metrics.loop_metrics import EMPTY_DISTRIBUTION, NO_COUNTS, LoopCounts, SlowRequest


class ServerPhase(StrEnum):
    """The phases of a server or a process, in order."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    STOPPING = "stopping"


class Detail(IntEnum):
    """The amount of detail in a snapshot: the health alone, the counters too, or the running calls too.

    Reading the running calls takes a moment, because threads are asked for them.
    """

    HEALTH = 0
    NUMBERS = 1
    CALLS = 2


class RunningCall(NamedTuple):
    """A request in flight, without its query string, its age, and the line where its code is, if known."""

    request: str
    seconds: float
    place: str = ""


class Stall(NamedTuple):
    """A time when a loop did not turn. `seen` is in seconds of the epoch; `seconds` is None while it goes on.

    `place` is the innermost line of the code that blocked the loop.
    """

    thread: int
    seen: float
    seconds: float | None
    place: str


class LoggedProblem(NamedTuple):
    """A warning or an error from the log. `at` is in seconds of the epoch."""

    at: float
    level: str
    message: str


@dataclass(frozen=True)
class LoopState:
    """One loop. `has_started` is true once it serves; `stalled_seconds` is how late its next turn is.

    `cpu_seconds` is the running time of its thread. `place` is the line where the thread is while the loop does not
    turn, and `calls` are the requests in flight. Fields beyond the requested `Detail` keep their defaults.
    """

    number: int
    has_started: bool
    stalled_seconds: float
    in_flight: int = 0
    connections: int = 0
    cpu_seconds: float = 0.0
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
    """One process that serves.

    A loop counts as stalled after `stall_limit` seconds; 0 is no limit. `idle_connections` belong to no loop, and
    `started_at` is in seconds of the epoch.
    """

    pid: int
    phase: ServerPhase
    started_at: float
    stall_limit: float
    loops: tuple[LoopState, ...]
    pool: PoolState | None = None
    idle_connections: int = 0
    exhaustions: int = 0
    threads_replaced: int = 0
    is_gil_enabled: bool = True
    memory_bytes: int = 0
    cpu_seconds: float = 0.0
    descriptors: int = 0
    threads: int = 0
    stalls: tuple[Stall, ...] = ()
    problems: tuple[LoggedProblem, ...] = ()

    @property
    def is_stalled(self) -> bool:
        """True if every loop that has started is stalled."""
        started = [loop for loop in self.loops if loop.has_started]
        return bool(started) and all(map(self.is_loop_stalled, started))

    @property
    def is_ready(self) -> bool:
        """True if the process serves and every one of its loops has started."""
        if self.phase is not ServerPhase.SERVING or self.is_stalled:
            return False
        return all(loop.has_started for loop in self.loops)

    def is_loop_stalled(self, loop: LoopState) -> bool:
        """Return whether one of the loops is stalled."""
        return loop.stalled_seconds > self.stall_limit > 0


@dataclass(frozen=True)
class ServerState:
    """The whole server: its processes, the pids of workers that do not respond, and the number of workers replaced.

    `workers` is the configured number of worker processes, or 0 for a server of one process.
    """

    phase: ServerPhase
    processes: tuple[ProcessState, ...]
    workers: int = 0
    unresponsive: tuple[int, ...] = ()
    workers_replaced: int = 0
    problems: tuple[LoggedProblem, ...] = ()

    def find_liveness_problem(self) -> str:
        """Return why the server should be restarted from outside, or ""."""
        is_lost = self.processes and not self.unresponsive and all(process.is_stalled for process in self.processes)
        return "every loop thread is blocked" if is_lost else ""

    def find_readiness_problem(self) -> str:
        """Return why the server should get no requests, or ""."""
        if self.phase is not ServerPhase.SERVING:
            return f"the server is {self.phase}"
        if any(process.is_ready for process in self.processes):
            return ""
        return self.find_liveness_problem() or "no process is ready"
