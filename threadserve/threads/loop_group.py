"""The loops of one process: started together, watched, replaced when they die, and stopped together.

Runs on the server's thread. It owns the loop runners and the list of loops in the acceptor. Loops report to it through
a queue, which is the only thing here that other threads touch.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from queue import Empty, SimpleQueue
from socket import socket

from threadserve.errors import StartupFailed, ThreadserveError, TooManyThreadDeaths
from threadserve.logging.wording import format_count
from threadserve.metrics.loop_metrics import LoopCounts, LoopMetrics
from threadserve.threads.acceptor import Acceptor
from threadserve.threads.loop_parts import import_parts
from threadserve.threads.loop_runners import LoopRunner, OnEnd
from threadserve.threads.loop_server import (
    CUT_OFF_GRACE_SECONDS,
    LoopServer,
    Phase,
    compute_lifespan_grace,
)
from threadserve.threads.shared_resources import SharedResources

logger = logging.getLogger("threadserve.error")

MAX_DEATHS = 5
DEATHS_WINDOW_SECONDS = 60.0
STOP_STEP_SECONDS = 0.5
TERMINATE_GRACE_SECONDS = 1.0
# The time that a loop has beyond its own deadlines.
OVERDUE_SECONDS = 1.5

# What keeps a loop from ending, by its phase.
BLOCKING_REASONS = {
    None: "the application's import goes on",
    Phase.LOADED: "the application's start-up goes on",
    Phase.READY: "a request blocks it",
    Phase.DRAINED: "the application's shutdown blocks it",
}

MakeRunner = Callable[[LoopServer, OnEnd], LoopRunner]


@dataclass(eq=False)
class Slot:
    """The place of one loop. If the loop dies, its replacement gets the place and the listeners."""

    number: int
    server: LoopServer
    runner: LoopRunner
    phase: Phase | None = None
    give_up_at: float = inf
    listeners: list[socket] = field(default_factory=list)


class LoopGroup:
    """All loops. `failure` is set when the server has to stop because of them.

    `has_cut_off_start` tells that the loops were stopped while the application was starting, and did not wait for its
    end. `replacements` counts the loops that died and were replaced; any thread may read it.
    """

    def __init__(self, shared: SharedResources, count: int, make_runner: MakeRunner, acceptor: Acceptor) -> None:
        self.failure: ThreadserveError | None = None
        self.has_cut_off_start = False
        self.replacements = 0
        self._shared = shared
        self._count = count
        self._make_runner = make_runner
        self._acceptor = acceptor
        self._reports: SimpleQueue[tuple[LoopServer, Phase, BaseException | None]] = SimpleQueue()
        self._slots: list[Slot] = []
        self._deaths: deque[float] = deque(maxlen=MAX_DEATHS)
        self._dead_runners: list[LoopRunner] = []
        self._requests_of_dead = 0
        self._metrics_of_dead: dict[int, tuple[LoopMetrics, ...]] = {}
        self._ticks: list[tuple[LoopServer, int]] = []
        self._is_serving = False
        self._is_stopping = False
        self._stopped_at = inf

    def start(self) -> None:
        """Start the first loop, and the others once it has loaded the application: a bad one fails only once."""
        import_parts(self._shared.config)
        self._start_slot(1)

    @property
    def is_ready(self) -> bool:
        """True if every loop serves."""
        return len(self._slots) == self._count and all(slot.phase is Phase.READY for slot in self._slots)

    @property
    def has_ended(self) -> bool:
        """True if every loop that was started has ended."""
        return all(slot.phase is Phase.ENDED for slot in self._slots)

    def counts_of_dead_threadsafe(self, number: int) -> list[LoopCounts]:
        """Return the counts of the dead loops that had this number."""
        return [metrics.read_threadsafe() for metrics in self._metrics_of_dead.get(number, ())]

    def servers_threadsafe(self) -> list[LoopServer]:
        """Return the loop servers in their places, including those that are starting."""
        return [slot.server for slot in self._slots.copy()]

    def requests(self) -> int:
        """Return the number of requests that were begun so far."""
        return self._requests_of_dead + sum(slot.server.requests_threadsafe() for slot in self._slots)

    def listen(self, listeners: list[list[socket]]) -> None:
        """Give each loop listeners of its own to accept from."""
        for slot, own in zip(self._slots, listeners, strict=True):
            slot.listeners = own
            slot.server.listen_threadsafe(own)

    def update_tls(self) -> None:
        """Let each loop use the current certificates for new connections."""
        for slot in self._slots:
            slot.server.update_tls_threadsafe()

    def check(self) -> None:
        """Read the loops' reports, and forget dead loops whose threads have ended."""
        if self._dead_runners:
            self._dead_runners = [runner for runner in self._dead_runners if not runner.join(0)]
        while True:
            try:
                server, phase, error = self._reports.get_nowait()
            except Empty:
                return
            slot = next((slot for slot in self._slots if slot.server is server), None)
            if slot is not None:
                self._on_report(slot, phase, error)

    def has_progressed(self) -> bool:
        """Return whether a serving loop has ticked since the last call, or none serves."""
        before = self._ticks
        serving = [slot.server for slot in self._slots if slot.phase is Phase.READY]
        self._ticks = [(server, server.ticks_threadsafe()) for server in serving]
        return not self._ticks or self._ticks != before

    def stop(self, is_forced: Callable[[], bool]) -> bool:
        """Stop every loop gracefully and wait for it; once `is_forced`, terminate them.

        A blocked loop, which misses its own deadlines, is not waited for either, and the log says what blocks it.
        Return whether all loops have ended.
        """
        self._is_stopping = True
        self._stopped_at = time.monotonic()
        for slot in self._slots:
            slot.server.stop_threadsafe()
            self._set_give_up_time(slot)
        log_at = time.monotonic() + STOP_STEP_SECONDS
        while not self.has_ended and not is_forced() and not self._is_overdue():
            self._acceptor.step(STOP_STEP_SECONDS)
            self.check()
            if time.monotonic() >= log_at:
                log_at = inf
                self._log_waiting()
        if not self.has_ended:
            self._terminate()
        self._close_listeners()
        runners = self._dead_runners + [slot.runner for slot in self._slots]
        deadline = time.monotonic() + (TERMINATE_GRACE_SECONDS if self.has_ended else 0)
        return all(runner.join(max(0.0, deadline - time.monotonic())) for runner in runners)

    def _set_give_up_time(self, slot: Slot) -> None:
        """Set how long to wait for the next step of a loop's shutdown."""
        now, grace = time.monotonic(), self._shared.config.timeout_graceful_shutdown
        if slot.phase is None:
            # An import has nothing to finish, and cannot be cancelled.
            slot.give_up_at = now + TERMINATE_GRACE_SECONDS
        elif grace is None:
            slot.give_up_at = inf
        elif slot.phase is Phase.LOADED:
            slot.give_up_at = now + grace
        elif slot.phase is Phase.READY:
            slot.give_up_at = now + grace + 2 * CUT_OFF_GRACE_SECONDS + OVERDUE_SECONDS
        elif slot.phase in (Phase.DRAINED, Phase.FAILED):
            slot.give_up_at = now + compute_lifespan_grace(grace, now - self._stopped_at) + OVERDUE_SECONDS

    def _is_overdue(self) -> bool:
        """Return whether all loops that have not ended have taken too long."""
        return all(time.monotonic() >= slot.give_up_at for slot in self._slots if slot.phase is not Phase.ENDED)

    def _log_waiting(self) -> None:
        count = sum(slot.server.load_threadsafe()[0] for slot in self._slots if slot.phase is not Phase.ENDED)
        if count:
            logger.info("Waiting for %s to complete. (CTRL+C to force quit)", format_count(count, "request"))
        elif any(slot.phase is Phase.LOADED for slot in self._slots):
            logger.info("Waiting for the application's start-up to end. (CTRL+C to force quit)")

    def _close_listeners(self) -> None:
        """Close the listeners of loops that died and were not replaced."""
        for slot in self._slots:
            if slot.phase is Phase.ENDED:
                for listener in slot.listeners:
                    listener.close()

    def _terminate(self) -> None:
        """Terminate the loops. Log what blocks those that do not end, and how many requests end with them."""
        starting = [slot for slot in self._slots if slot.phase in (None, Phase.LOADED)]
        self.has_cut_off_start = bool(starting) and not self._is_serving
        for slot in self._slots:
            slot.server.terminate_threadsafe()
        deadline = time.monotonic() + TERMINATE_GRACE_SECONDS
        while not self.has_ended and time.monotonic() < deadline:
            self._acceptor.step(max(0.0, deadline - time.monotonic()))
            self.check()
        if any(slot.phase is Phase.ENDED for slot in starting):
            logger.error("Cut off the application's start-up.")
        for slot in self._slots:
            if slot.phase is not Phase.ENDED:
                logger.error(
                    "Loop thread %d does not end: %s. Exiting without it.%s", slot.number, *format_blocking_reason(slot)
                )

    def _start_slot(self, number: int) -> None:
        server, runner = self._make_loop(number)
        self._slots.append(Slot(number, server, runner))
        runner.start()

    def _make_loop(self, number: int) -> tuple[LoopServer, LoopRunner]:
        server = LoopServer(self._shared, number, self._report_threadsafe)
        return server, self._make_runner(server, lambda error: self._report_threadsafe(server, Phase.ENDED, error))

    def _report_threadsafe(self, server: LoopServer, phase: Phase, error: BaseException | None) -> None:
        self._reports.put((server, phase, error))
        self._acceptor.wake_threadsafe()

    def _on_report(self, slot: Slot, phase: Phase, error: BaseException | None) -> None:
        slot.phase = phase
        if self._is_stopping:
            self._set_give_up_time(slot)
        if phase is Phase.LOADED and len(self._slots) == 1 and not self._is_stopping:
            for number in range(2, self._count + 1):
                self._start_slot(number)
        elif phase is Phase.READY:
            self._is_serving = self._is_serving or self.is_ready
            self._acceptor.loops.append(slot.server)
            if slot.listeners:
                slot.server.listen_threadsafe(slot.listeners)
        elif phase is Phase.FAILED and isinstance(error, ThreadserveError):
            self.failure = self.failure or error
        elif phase is Phase.ENDED:
            self._acceptor.remove(slot.server)
            if not self._is_stopping and self.failure is None:
                self._on_death(slot, error)

    def _on_death(self, slot: Slot, error: BaseException | None) -> None:
        logger.critical("Loop thread %d died.", slot.number, exc_info=error)
        now = time.monotonic()
        self._deaths.append(now)
        if not self._is_serving:
            self.failure = StartupFailed(f"loop thread {slot.number} died while it was starting: {error!r}")
        elif len(self._deaths) == MAX_DEATHS and now - self._deaths[0] < DEATHS_WINDOW_SECONDS:
            self.failure = TooManyThreadDeaths(
                f"{MAX_DEATHS} loop threads died within {DEATHS_WINDOW_SECONDS:g} seconds"
            )
        else:
            self._replace(slot)

    def _replace(self, slot: Slot) -> None:
        self.replacements += 1
        self._requests_of_dead += slot.server.requests_threadsafe()
        if slot.server.metrics is not None:
            before = self._metrics_of_dead.get(slot.number, ())
            self._metrics_of_dead[slot.number] = (*before, slot.server.metrics)
        self._dead_runners.append(slot.runner)
        slot.server, slot.runner = self._make_loop(slot.number)
        slot.phase = None
        slot.runner.start()


def format_blocking_reason(slot: Slot) -> tuple[str, str]:
    """Return what blocks a loop's end and what is lost with it. A blocked loop cannot log that itself."""
    reason = BLOCKING_REASONS.get(slot.phase, "threads or tasks of the application go on")
    count = slot.server.load_threadsafe()[0] if slot.phase is Phase.READY else 0
    return reason, f" Cut off {format_count(count, 'request')}." if count else ""
