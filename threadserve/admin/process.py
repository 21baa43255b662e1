"""The state of this process, gathered from its loops, its acceptor and its pool of threads without disturbing them.

Runs on the thread that reads: the admin thread, or the one that answers a supervisor. It reads what the others publish
about themselves. Only to find where code is running does it ask a loop, or signal a thread that does not turn; it waits
for the answers no longer than `LOOP_ANSWER_SECONDS`.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from threadserve.admin.problems import ProblemHandler
from threadserve.app.loading import AppLoader
from threadserve.config import Config
from threadserve.metrics.histogram import Histogram
from threadserve.metrics.states import Detail, LoopState, PoolState, ProcessState, RunningCall, ServerPhase, ServerState
from threadserve.runtime.gil import is_gil_enabled
from threadserve.runtime.process_limits import read_resident_bytes
from threadserve.runtime.stacks import describe_thread, find_innermost_frame
from threadserve.threads.acceptor import Acceptor
from threadserve.threads.heartbeat import LAG_BUCKETS
from threadserve.threads.loop_group import LoopGroup
from threadserve.threads.loop_server import LoopServer
from threadserve.threads.thread_times import ThreadTimes
from threadserve.threads.watchdog import LoopWatchdog

# The time that all loops together have to list their calls.
LOOP_ANSWER_SECONDS = 0.1
# Threads are asked where they are if their call has taken longer than this, and only so many of them.
LONG_CALL_SECONDS = 0.5
MAX_THREADS_ASKED = 8
EMPTY_LAG = Histogram(LAG_BUCKETS).read_threadsafe()
DESCRIPTORS_FOLDER = Path("/proc/self/fd")


class ProcessView:
    """Reads the state of this process's server. `phase` returns its current phase."""

    def __init__(
        self,
        config: Config,
        phase: Callable[[], ServerPhase],
        group: LoopGroup,
        acceptor: Acceptor,
        loader: AppLoader,
        watchdog: LoopWatchdog | None,
    ) -> None:
        self.problems = ProblemHandler()
        self._stall_limit = config.timeout_loop_stall
        self._phase = phase
        self._group = group
        self._acceptor = acceptor
        self._loader = loader
        self._watchdog = watchdog
        self._started_at = time.time()

    def read_state_threadsafe(self, detail: Detail) -> ProcessState:
        """Return the current state of the process, in this detail."""
        now = time.monotonic()
        servers = self._group.servers_threadsafe()
        loops = tuple([read_loop_health(server, now) for server in servers])
        state = ProcessState(os.getpid(), self._phase(), self._started_at, self._stall_limit, loops)
        if detail is Detail.HEALTH:
            return state
        state = self._add_numbers(state, servers)
        return self._add_calls(state, servers) if detail is Detail.CALLS else state

    def _add_numbers(self, state: ProcessState, servers: list[LoopServer]) -> ProcessState:
        pool = self._loader.wsgi.pool if self._loader.wsgi is not None else None
        pairs = zip(servers, state.loops, strict=True)
        return replace(
            state,
            loops=tuple([self._add_loop_numbers(server, loop) for server, loop in pairs]),
            pool=replace(pool.state_threadsafe()[0], calls=()) if pool is not None else None,
            idle_connections=self._acceptor.idle_threadsafe(),
            exhaustions=self._acceptor.exhaustions_threadsafe(),
            threads_replaced=self._group.replacements,
            is_gil_enabled=is_gil_enabled(),
            memory_bytes=read_resident_bytes(),
            cpu_seconds=time.process_time(),
            descriptors=count_descriptors(),
            threads=threading.active_count(),
        )

    def _add_loop_numbers(self, server: LoopServer, state: LoopState) -> LoopState:
        in_flight, connections = server.load_threadsafe()
        heartbeat, metrics = server.heartbeat, server.metrics
        return replace(
            state,
            in_flight=in_flight,
            connections=connections,
            cpu_seconds=read_thread_cpu_seconds(server.thread_id),
            websockets=metrics.websockets_open if metrics is not None else 0,
            counts=sum(self._group.counts_of_dead_threadsafe(server.number), server.counts_threadsafe()),
            lag=heartbeat.lag.read_threadsafe() if heartbeat is not None else EMPTY_LAG,
            stalls=self._watchdog.stall_counts.get(server.number, 0) if self._watchdog is not None else 0,
        )

    def _add_calls(self, state: ProcessState, servers: list[LoopServer]) -> ProcessState:
        """Return the state with the running calls, for which some threads are asked."""
        wsgi = self._loader.wsgi
        return replace(
            state,
            loops=tuple(add_running_calls(servers, state.loops)),
            pool=add_call_places(*wsgi.pool.state_threadsafe()) if wsgi is not None else None,
            stalls=tuple(self._watchdog.recent_stalls_threadsafe()) if self._watchdog is not None else (),
            problems=self.problems.list_threadsafe(),
        )


def read_loop_health(server: LoopServer, now: float) -> LoopState:
    """Return a loop's state with its health alone."""
    heartbeat = server.heartbeat
    lateness = max(0.0, now - heartbeat.due) if heartbeat is not None else 0.0
    return LoopState(server.number, heartbeat is not None, lateness)


def add_call_places(state: PoolState, threads: list[threading.Thread | None]) -> PoolState:
    """Return a pool's state with the places of its long calls."""
    asked = 0
    calls: list[RunningCall] = []
    for call, thread in zip(state.calls, threads, strict=True):
        if call.seconds > LONG_CALL_SECONDS and asked < MAX_THREADS_ASKED:
            asked += 1
            calls.append(call._replace(place=find_innermost_frame(describe_thread(thread))))
        else:
            calls.append(call)
    return replace(state, calls=tuple(calls))


def add_running_calls(servers: list[LoopServer], states: Sequence[LoopState]) -> list[LoopState]:
    """Return the states with the calls in flight: listed by each loop itself, or read by this thread."""
    answers: SimpleQueue[tuple[LoopServer, list[RunningCall]]] = SimpleQueue()
    for server in servers:
        server.send_calls_threadsafe(partial(put_answer, answers, server))
    calls_by_loop: dict[LoopServer, list[RunningCall]] = {}
    deadline = time.monotonic() + LOOP_ANSWER_SECONDS
    while len(calls_by_loop) < len(servers):
        try:
            server, calls = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            break
        calls_by_loop[server] = calls
    pairs = zip(servers, states, strict=True)
    return [add_loop_calls(server, state, calls_by_loop.get(server)) for server, state in pairs]


def put_answer(
    answers: "SimpleQueue[tuple[LoopServer, list[RunningCall]]]", server: LoopServer, calls: list[RunningCall]
) -> None:
    """Pass on a loop's answer, on its thread."""
    answers.put((server, calls))


def add_loop_calls(server: LoopServer, state: LoopState, calls: list[RunningCall] | None) -> LoopState:
    """Return a loop's state with its calls, and with the place of its thread if the loop has not answered (None)."""
    place = ""
    if calls is None:
        calls = list(server.calls_threadsafe())
        place = find_innermost_frame(describe_thread(server.thread, server.root_function)) if state.has_started else ""
    slow = tuple(server.metrics.list_slow_threadsafe()) if server.metrics is not None else ()
    return replace(state, calls=tuple(calls), place=place, slow=slow)


def read_thread_cpu_seconds(thread_id: int) -> float:
    """Return how long a thread has run, by its native id; 0 if it has ended or the system does not tell."""
    times = ThreadTimes(thread_id)
    try:
        return times.read().running
    finally:
        times.close()


def count_descriptors() -> int:
    """Return the number of open descriptors, or 0 where the system does not tell."""
    try:
        return len(os.listdir(DESCRIPTORS_FOLDER)) - 1  # noqa: PTH208 (its own is closed by then)
    except OSError:
        return 0


class ProcessSource:
    """The `StateSource` of a server that is one process."""

    def __init__(self, view: ProcessView) -> None:
        self._view = view

    async def read_state(self, detail: Detail) -> ServerState:
        """Return the current state; see `StateSource`."""
        read = partial(self._view.read_state_threadsafe, detail)
        # Waiting for the loops' answers would block the admin thread.
        is_slow = detail is Detail.CALLS
        process = await asyncio.get_running_loop().run_in_executor(None, read) if is_slow else read()
        return ServerState(process.phase, (process,))
