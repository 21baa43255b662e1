"""The loops of one process: started together, watched, replaced when they die, stopped together.

Runs on the server's thread (one of its own where a loop has the thread that called). It owns the hosts and the list of
receivers in the acceptor; loops report to it through a queue, the only thing here that other threads touch.
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
from threadserve.threads.hosts import Host, Outcome
from threadserve.threads.loop_parts import import_parts
from threadserve.threads.loop_server import CUT_OFF_GRACE, LoopServer, Phase, Shared, lifespan_grace

logger = logging.getLogger("threadserve.error")

DEATHS = 5
DEATHS_WINDOW = 60.0
STEP = 0.5
ABANDON_GRACE = 1.0
# What a loop may take, in seconds, beyond the time after which it ends something itself.
OVERDUE = 1.5

# By how far it has come, what keeps a loop from ending.
KEPT_BY = {
    None: "the application's import goes on",
    Phase.LOADED: "the application's start-up goes on",
    Phase.READY: "a request blocks it",
    Phase.DRAINED: "the application's shutdown blocks it",
}

MakeHost = Callable[[LoopServer, Outcome], Host]


@dataclass(eq=False)
class Slot:
    """A place for one loop, which a successor takes over with its listeners when the loop dies."""

    number: int
    server: LoopServer
    host: Host
    phase: Phase | None = None
    give_up_at: float = inf
    listeners: list[socket] = field(default_factory=list)


class LoopGroup:
    """All the loops. `failure` is set when the server has to stop because of them.

    `has_cut_off_start` tells that they were stopped while the application was starting, and did not wait for its end.
    `replaced` counts those that have died and have a successor; any thread may read it.
    """

    def __init__(self, shared: Shared, count: int, make_host: MakeHost, acceptor: Acceptor) -> None:
        self.failure: ThreadserveError | None = None
        self.has_cut_off_start = False
        self.replaced = 0
        self._shared = shared
        self._count = count
        self._make_host = make_host
        self._acceptor = acceptor
        self._reports: SimpleQueue[tuple[LoopServer, Phase, BaseException | None]] = SimpleQueue()
        self._slots: list[Slot] = []
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        self._dead: list[Host] = []
        self._requests_of_the_dead = 0
        self._metrics_of_dead: dict[int, tuple[LoopMetrics, ...]] = {}
        self._ticks: list[tuple[LoopServer, int]] = []
        self._serving = False
        self._stopping = False
        self._stopped_at = inf

    def start(self) -> None:
        """Starts the first loop; the others follow when that one has loaded the app, so that a bad one fails once."""
        import_parts(self._shared.config)
        self._start_slot(1)

    @property
    def ready(self) -> bool:
        """Whether every loop serves."""
        return len(self._slots) == self._count and all(slot.phase is Phase.READY for slot in self._slots)

    @property
    def ended(self) -> bool:
        """Whether every loop that was started has ended."""
        return all(slot.phase is Phase.ENDED for slot in self._slots)

    def counts_of_dead_threadsafe(self, number: int) -> list[LoopCounts]:
        """What the loops have counted that died in this place."""
        return [metrics.read_threadsafe() for metrics in self._metrics_of_dead.get(number, ())]

    def servers_threadsafe(self) -> list[LoopServer]:
        """The loop servers in their places, those that are starting among them."""
        return [slot.server for slot in self._slots.copy()]

    def requests(self) -> int:
        """How many requests have been taken up so far."""
        return self._requests_of_the_dead + sum(slot.server.requests_threadsafe() for slot in self._slots)

    def listen(self, listeners: list[list[socket]]) -> None:
        """Has each loop accept from listeners of its own."""
        for slot, own in zip(self._slots, listeners, strict=True):
            slot.listeners = own
            slot.server.listen_threadsafe(own)

    def renew_tls(self) -> None:
        """Has each loop encrypt new connections with what the certificates are now."""
        for slot in self._slots:
            slot.server.renew_tls_threadsafe()

    def check(self) -> None:
        """Takes in what the loops have reported, and forgets the dead whose threads have ended."""
        if self._dead:
            self._dead = [host for host in self._dead if not host.join(0)]
        while True:
            try:
                server, phase, error = self._reports.get_nowait()
            except Empty:
                return
            slot = next((slot for slot in self._slots if slot.server is server), None)
            if slot is not None:
                self._take_in(slot, phase, error)

    def has_moved(self) -> bool:
        """Whether one of the loops that serve has ticked since this was last asked; also while none serves."""
        before = self._ticks
        serving = [slot.server for slot in self._slots if slot.phase is Phase.READY]
        self._ticks = [(server, server.ticks_threadsafe()) for server in serving]
        return not self._ticks or self._ticks != before

    def stop(self, is_forced: Callable[[], bool]) -> bool:
        """Has every loop finish what it serves, and waits for that; once `is_forced`, only a moment longer.

        A loop that keeps to none of its own deadlines, for it is blocked, is waited for no longer either, and the log
        says what keeps it. Returns whether all of them have ended.
        """
        self._stopping = True
        self._stopped_at = time.monotonic()
        for slot in self._slots:
            slot.server.stop_threadsafe()
            self._expect_end(slot)
        patience = time.monotonic() + STEP
        while not self.ended and not is_forced() and not self._is_overdue():
            self._acceptor.step(STEP)
            self.check()
            if time.monotonic() >= patience:
                patience = inf
                self._say_what_is_waited_for()
        if not self.ended:
            self._abandon()
        self._close_listeners()
        hosts = self._dead + [slot.host for slot in self._slots]
        deadline = time.monotonic() + (ABANDON_GRACE if self.ended else 0)
        return all(host.join(max(0.0, deadline - time.monotonic())) for host in hosts)

    def _expect_end(self, slot: Slot) -> None:
        """Says how long to wait for what a loop does next in the course of a stop."""
        now, grace = time.monotonic(), self._shared.config.timeout_graceful_shutdown
        if slot.phase is None:
            # An import has nothing to finish, and cannot be cancelled.
            slot.give_up_at = now + ABANDON_GRACE
        elif grace is None:
            slot.give_up_at = inf
        elif slot.phase is Phase.LOADED:
            slot.give_up_at = now + grace
        elif slot.phase is Phase.READY:
            slot.give_up_at = now + grace + 2 * CUT_OFF_GRACE + OVERDUE
        elif slot.phase in (Phase.DRAINED, Phase.FAILED):
            slot.give_up_at = now + lifespan_grace(grace, now - self._stopped_at) + OVERDUE

    def _is_overdue(self) -> bool:
        """Whether all loops that have not ended have taken too long."""
        return all(time.monotonic() >= slot.give_up_at for slot in self._slots if slot.phase is not Phase.ENDED)

    def _say_what_is_waited_for(self) -> None:
        count = sum(slot.server.load_threadsafe()[0] for slot in self._slots if slot.phase is not Phase.ENDED)
        if count:
            logger.info("Waiting for %s to complete. (CTRL+C to force quit)", format_count(count, "request"))
        elif any(slot.phase is Phase.LOADED for slot in self._slots):
            logger.info("Waiting for the application's start-up to end. (CTRL+C to force quit)")

    def _close_listeners(self) -> None:
        """Closes what loops have left open that died and found no successor."""
        for slot in self._slots:
            if slot.phase is Phase.ENDED:
                for listener in slot.listeners:
                    listener.close()

    def _abandon(self) -> None:
        """Has the loops end at once, and says of those that do not why, and how many requests end with them."""
        starting = [slot for slot in self._slots if slot.phase in (None, Phase.LOADED)]
        self.has_cut_off_start = bool(starting) and not self._serving
        for slot in self._slots:
            slot.server.abandon_threadsafe()
        deadline = time.monotonic() + ABANDON_GRACE
        while not self.ended and time.monotonic() < deadline:
            self._acceptor.step(max(0.0, deadline - time.monotonic()))
            self.check()
        if any(slot.phase is Phase.ENDED for slot in starting):
            logger.error("Cut off the application's start-up.")
        for slot in self._slots:
            if slot.phase is not Phase.ENDED:
                logger.error("Loop thread %d does not end: %s. Exiting without it.%s", slot.number, *kept_by(slot))

    def _start_slot(self, number: int) -> None:
        server, host = self._make_loop(number)
        self._slots.append(Slot(number, server, host))
        host.start()

    def _make_loop(self, number: int) -> tuple[LoopServer, Host]:
        server = LoopServer(self._shared, number, self._report_threadsafe)
        return server, self._make_host(server, lambda error: self._report_threadsafe(server, Phase.ENDED, error))

    def _report_threadsafe(self, server: LoopServer, phase: Phase, error: BaseException | None) -> None:
        self._reports.put((server, phase, error))
        self._acceptor.wake_threadsafe()

    def _take_in(self, slot: Slot, phase: Phase, error: BaseException | None) -> None:
        slot.phase = phase
        if self._stopping:
            self._expect_end(slot)
        if phase is Phase.LOADED and len(self._slots) == 1 and not self._stopping:
            for number in range(2, self._count + 1):
                self._start_slot(number)
        elif phase is Phase.READY:
            self._serving = self._serving or self.ready
            self._acceptor.receivers.append(slot.server)
            if slot.listeners:
                slot.server.listen_threadsafe(slot.listeners)
        elif phase is Phase.FAILED and isinstance(error, ThreadserveError):
            self.failure = self.failure or error
        elif phase is Phase.ENDED:
            self._acceptor.remove(slot.server)
            if not self._stopping and self.failure is None:
                self._on_death(slot, error)

    def _on_death(self, slot: Slot, error: BaseException | None) -> None:
        logger.critical("Loop thread %d died.", slot.number, exc_info=error)
        now = time.monotonic()
        self._deaths.append(now)
        if not self._serving:
            self.failure = StartupFailed(f"loop thread {slot.number} died while it was starting: {error!r}")
        elif len(self._deaths) == DEATHS and now - self._deaths[0] < DEATHS_WINDOW:
            self.failure = TooManyThreadDeaths(f"{DEATHS} loop threads died within {DEATHS_WINDOW:g} seconds")
        else:
            self._replace(slot)

    def _replace(self, slot: Slot) -> None:
        self.replaced += 1
        self._requests_of_the_dead += slot.server.requests_threadsafe()
        if slot.server.metrics is not None:
            before = self._metrics_of_dead.get(slot.number, ())
            self._metrics_of_dead[slot.number] = (*before, slot.server.metrics)
        self._dead.append(slot.host)
        slot.server, slot.host = self._make_loop(slot.number)
        slot.phase = None
        slot.host.start()


def kept_by(slot: Slot) -> tuple[str, str]:
    """What keeps a loop from ending, and what is lost with it, which it cannot say itself while it is blocked."""
    reason = KEPT_BY.get(slot.phase, "threads or tasks of the application go on")
    count = slot.server.load_threadsafe()[0] if slot.phase is Phase.READY else 0
    return reason, f" Cut off {format_count(count, 'request')}." if count else ""
