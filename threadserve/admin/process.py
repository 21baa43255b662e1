"""How this process is: gathered from its loops, its acceptor and its pool of threads, without disturbing them.

Runs on the thread that asks, which is the admin thread or the one that answers a supervisor. It reads what the others
publish about themselves; only to tell where code stands does it ask a loop, or send a signal to a thread that does not
turn, and it waits for that no longer than `LOOP_ANSWER_SECONDS`.
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
from threadserve.metrics.states import Detail, LoopState, PoolState, ProcessState, RunningCall, ServerState
from threadserve.runtime.gil import is_gil_enabled
from threadserve.runtime.process_limits import resident_bytes
from threadserve.threads.acceptor import Acceptor
from threadserve.threads.group import LoopGroup
from threadserve.threads.loop_server import LoopServer
from threadserve.threads.pulse import LAGS
from threadserve.threads.stacks import told_of
from threadserve.threads.thread_times import ThreadTimes
from threadserve.threads.watchdog import Watchdog, place_in

# For how long the loops, all together, are waited for to say what they do.
LOOP_ANSWER_SECONDS = 0.1
# Threads that have been at a call for so long, in seconds, are asked where they are; so many at most.
LONG_CALL_SECONDS = 0.5
MAX_THREADS_ASKED = 8
EMPTY_LAG = Histogram(LAGS).read_threadsafe()
DESCRIPTORS_FOLDER = Path("/proc/self/fd")


class ProcessView:
    """What can be seen of this process's server. `phase` returns how far that has come."""

    def __init__(
        self,
        config: Config,
        phase: Callable[[], str],
        group: LoopGroup,
        acceptor: Acceptor,
        source: AppLoader,
        watchdog: Watchdog | None,
    ) -> None:
        self.problems = ProblemHandler()
        self._stall_limit = config.timeout_loop_stall
        self._phase = phase
        self._group = group
        self._acceptor = acceptor
        self._source = source
        self._watchdog = watchdog
        self._started_at = time.time()

    def look_threadsafe(self, detail: Detail) -> ProcessState:
        """How the process is now, with so much of it."""
        now = time.monotonic()
        servers = self._group.servers_threadsafe()
        loops = tuple([read_loop_health(server, now) for server in servers])
        state = ProcessState(os.getpid(), self._phase(), self._started_at, self._stall_limit, loops)
        if detail is Detail.HEALTH:
            return state
        state = self._with_numbers(state, servers)
        return self._with_calls(state, servers) if detail is Detail.CALLS else state

    def _with_numbers(self, state: ProcessState, servers: list[LoopServer]) -> ProcessState:
        pool = self._source.wsgi.pool if self._source.wsgi is not None else None
        pairs = zip(servers, state.loops, strict=True)
        return replace(
            state,
            loops=tuple([self._numbers_of(server, loop) for server, loop in pairs]),
            pool=replace(pool.state_threadsafe()[0], calls=()) if pool is not None else None,
            idle=self._acceptor.idle_threadsafe(),
            exhaustions=self._acceptor.exhaustions_threadsafe(),
            threads_replaced=self._group.replaced,
            is_gil_enabled=is_gil_enabled(),
            memory=resident_bytes(),
            cpu=time.process_time(),
            descriptors=count_descriptors(),
            threads=threading.active_count(),
        )

    def _numbers_of(self, server: LoopServer, state: LoopState) -> LoopState:
        in_flight, connections = server.load_threadsafe()
        pulse, metrics = server.pulse, server.metrics
        return replace(
            state,
            in_flight=in_flight,
            connections=connections,
            cpu=read_thread_cpu_seconds(server.thread_id),
            websockets=metrics.websockets_open if metrics is not None else 0,
            counts=sum(self._group.counts_of_dead_threadsafe(server.number), server.counts_threadsafe()),
            lag=pulse.lag.read_threadsafe() if pulse is not None else EMPTY_LAG,
            stalls=self._watchdog.stalls.get(server.number, 0) if self._watchdog is not None else 0,
        )

    def _with_calls(self, state: ProcessState, servers: list[LoopServer]) -> ProcessState:
        """The same with what the threads do, for which some of them are asked."""
        wsgi = self._source.wsgi
        return replace(
            state,
            loops=tuple(add_running_calls(servers, state.loops)),
            pool=add_call_places(*wsgi.pool.state_threadsafe()) if wsgi is not None else None,
            stalls=tuple(self._watchdog.last_threadsafe()) if self._watchdog is not None else (),
            problems=self.problems.last_threadsafe(),
        )


def read_loop_health(server: LoopServer, now: float) -> LoopState:
    """Whether a loop turns."""
    pulse = server.pulse
    return LoopState(server.number, pulse is not None, max(0.0, now - pulse.due) if pulse is not None else 0.0)


def add_call_places(state: PoolState, threads: list[threading.Thread | None]) -> PoolState:
    """The state of a pool, with where the threads stand that make its calls, as far as those go on for long."""
    asked = 0
    calls: list[RunningCall] = []
    for call, thread in zip(state.calls, threads, strict=True):
        if call.seconds > LONG_CALL_SECONDS and asked < MAX_THREADS_ASKED:
            asked += 1
            calls.append(call._replace(place=place_in(told_of(thread))))
        else:
            calls.append(call)
    return replace(state, calls=tuple(calls))


def add_running_calls(servers: list[LoopServer], states: Sequence[LoopState]) -> list[LoopState]:
    """The states, with the calls that the loops serve: told by those that turn, else as far as others see it."""
    answers: SimpleQueue[tuple[LoopServer, list[RunningCall]]] = SimpleQueue()
    for server in servers:
        server.tell_calls_threadsafe(partial(put_answer, answers, server))
    told: dict[LoopServer, list[RunningCall]] = {}
    deadline = time.monotonic() + LOOP_ANSWER_SECONDS
    while len(told) < len(servers):
        try:
            server, calls = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            break
        told[server] = calls
    return [
        replace(
            add_calls_of_blocked_loop(server, state)
            if server not in told
            else replace(state, calls=tuple(told[server])),
            slow=tuple(server.metrics.slow_threadsafe()) if server.metrics is not None else (),
        )
        for server, state in zip(servers, states, strict=True)
    ]


def put_answer(
    answers: "SimpleQueue[tuple[LoopServer, list[RunningCall]]]", server: LoopServer, calls: list[RunningCall]
) -> None:
    """Passes on what a loop says, on its thread."""
    answers.put((server, calls))


def add_calls_of_blocked_loop(server: LoopServer, state: LoopState) -> LoopState:
    """A loop that does not turn: what it serves, and where its thread stands."""
    place = place_in(told_of(server.thread, server.thread_root)) if state.has_started else ""
    return replace(state, calls=tuple(server.calls_threadsafe()), place=place)


def read_thread_cpu_seconds(thread_id: int) -> float:
    """How long a thread has run so far, by its native id; nothing of one that is not there, or not told of."""
    times = ThreadTimes(thread_id)
    try:
        return times.look().running
    finally:
        times.close()


def count_descriptors() -> int:
    """How many descriptors the process has open, or 0 where the system does not tell."""
    try:
        return len(os.listdir(DESCRIPTORS_FOLDER)) - 1  # noqa: PTH208 (its own is closed by then)
    except OSError:
        return 0


class ProcessSource:
    """A server that is one process, as the admin thread sees it: see `Source`."""

    def __init__(self, view: ProcessView) -> None:
        self._view = view

    async def look(self, detail: Detail) -> ServerState:
        """See `Source`."""
        look = partial(self._view.look_threadsafe, detail)
        # What the threads do, others wait for.
        is_slow = detail is Detail.CALLS
        process = await asyncio.get_running_loop().run_in_executor(None, look) if is_slow else look()
        return ServerState(process.phase, (process,))
