"""The workers of one supervisor: how many there are, which of them are to be replaced, and by whom.

Belongs to the supervisor's main thread, and owns the children; the listeners are the supervisor's. Never waits: `check`
takes in what has happened and does what follows from it.
"""

import logging
import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from socket import socket

from threadserve.admin.workers import WorkersAdmin
from threadserve.config import Config
from threadserve.errors import WorkerFailed
from threadserve.logging.wording import counted
from threadserve.workers.child import Child

logger = logging.getLogger("threadserve.error")

# Seconds beyond `timeout_graceful_shutdown` for cutting off and for lifespan shutdown.
END_GRACE = 30.0
FORCED_GRACE = 2.0
LONGEST_PAUSE = 30.0
# Whoever has served for so long, in seconds, has not ended because of how it starts.
STEADY = 30.0


@dataclass(eq=False)
class Worker:
    """One child. `replaces` is the worker that goes when this one serves; `kill_at` is set once it is to end."""

    child: Child
    replaces: "Worker | None" = None
    is_outdated: bool = False
    is_leaving: bool = False
    kill_at: float | None = None
    silence: float = 0.0
    serves_since: float | None = None

    @property
    def is_due(self) -> bool:
        """Whether another should take its place."""
        return not self.is_leaving and (self.is_outdated or self.child.wants_recycling)

    def leave(self, grace: float | None) -> None:
        """Has it end in order, within so many seconds unless that is None."""
        self._is_to_end_within(grace)
        self.child.stop()

    def hurry(self) -> None:
        """Has it end at once, whatever it serves."""
        self._is_to_end_within(FORCED_GRACE)
        self.child.hurry()

    def _is_to_end_within(self, grace: float | None) -> None:
        self.is_leaving = True
        self.replaces = None
        self.kill_at = time.monotonic() + grace if grace is not None else None


class Brake:
    """Keeps workers that soon end from being started all the time. `clock` tells the seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._in_a_row = 0
        self._last = -math.inf
        self._until = -math.inf

    @property
    def is_on(self) -> bool:
        """Whether to wait before another start."""
        return self._clock() < self._until

    def tighten(self, serves_since: float | None) -> None:
        """A worker has ended that has served since then, or could not start.

        After the first that has served another is started at once; then, and after a failed start, each pause is twice
        as long as the one before it.
        """
        now = self._clock()
        if serves_since is not None and now - serves_since >= STEADY:
            return
        self._last = now
        self._in_a_row = max(self._in_a_row + 1, 2 if serves_since is None else 1)
        pause = min(LONGEST_PAUSE, 2.0 ** (self._in_a_row - 2)) if self._in_a_row > 1 else 0.0
        self._until = now + pause
        if pause > 1:
            logger.critical("Child processes end again and again: the next is started in %g seconds.", pause)

    def ease(self, serves_since: float) -> None:
        """A worker has been serving since then: when that has lasted, those that ended before it count no more."""
        if serves_since >= self._last and self._clock() - serves_since >= STEADY:
            self.release()

    def release(self) -> None:
        """There is a reason to think that the next start does not fail."""
        self._in_a_row = 0
        self._until = -math.inf


class WorkerPool:
    """All the workers. `failure` is set when those that were started first could not serve.

    `has_cut_off_start` tells that the workers stopped while they were starting first, and one did not come to its end.
    """

    def __init__(self, config: Config, listeners: list[socket], count: int, admin: WorkersAdmin | None = None) -> None:
        self.failure: WorkerFailed | None = None
        self.has_started = False
        self.has_cut_off_start = False
        self._config = config
        self._listeners = listeners
        self._wanted = count
        self._admin = admin
        self._replaced = 0
        self._workers: list[Worker] = []
        self._brake = Brake()
        self._is_stopping = False

    @property
    def is_renewing(self) -> bool:
        """Whether workers with older code are still being replaced."""
        return any(worker.is_outdated and not worker.is_leaving for worker in self._workers)

    @property
    def has_ended(self) -> bool:
        """Whether no worker is left."""
        return not self._workers

    def waitables(self) -> list[Connection | int]:
        """For `multiprocessing.connection.wait`: what becomes readable when there is something to check."""
        return [each for worker in self._workers for each in worker.child.waitables()]

    def check(self, elapsed: float) -> None:
        """Takes in what the workers have told and how they have ended in the last `elapsed` seconds, and acts on it."""
        for worker in self._workers.copy():
            self._look_at(worker, elapsed)
        if not self._is_stopping and self.failure is None:
            self._fill()

    def tell_admin(self, phase: str) -> None:
        """Has the admin thread know how far the supervisor is, and how the workers are."""
        if self._admin is not None:
            self._admin.tell(phase, self._wanted, self._replaced)

    def grow(self) -> None:
        """Wants one worker more."""
        self._wanted += 1

    def shrink(self) -> bool:
        """Wants one worker less; returns False for the last one, which stays."""
        if self._wanted == 1:
            return False
        self._wanted -= 1
        return True

    def reopen_log_files(self) -> None:
        """Has every worker open its log files anew."""
        for worker in self._workers:
            worker.child.reopen_log_files()

    def renew(self) -> None:
        """Has each worker replaced by a new one, with the code that there is now."""
        self._brake.release()
        for worker in self._workers:
            if worker.replaces is None:
                worker.is_outdated = True
            else:
                # It may have begun with older code.
                worker.leave(self._grace)

    def stop(self) -> None:
        """Has every worker end in order, and at once those that were to leave before they served."""
        self._is_stopping = True
        for worker in self._workers:
            if not worker.is_leaving:
                worker.leave(self._grace)
            elif not worker.child.ready:
                worker.hurry()
            logger.info("Waiting for child process [%d]", worker.child.pid)

    def hurry(self) -> None:
        """Has every worker end, whatever it serves."""
        for worker in self._workers:
            worker.hurry()

    def kill(self) -> None:
        """Ends every worker that is left, and waits for that, which takes no time to speak of."""
        for worker in self._workers:
            worker.child.kill()
        for worker in self._workers:
            worker.child.join()
            worker.child.close()
        self._workers.clear()

    @property
    def _grace(self) -> float | None:
        timeout = self._config.timeout_graceful_shutdown
        return timeout + END_GRACE if timeout is not None else None

    def _look_at(self, worker: Worker, elapsed: float) -> None:
        child = worker.child
        # Asked before what it told is read: after its end nothing more comes.
        is_alive = child.is_alive()
        worker.silence = 0.0 if child.receive() else worker.silence + elapsed
        if not is_alive:
            self._on_end(worker)
        elif worker.is_leaving:
            self._see_off(worker)
        elif child.ready:
            self._on_serving(worker)

    def _see_off(self, worker: Worker) -> None:
        if worker.kill_at is not None and time.monotonic() >= worker.kill_at:
            worker.kill_at = None
            logger.error("Child process [%d] did not end in time and is killed.", worker.child.pid)
            worker.child.kill()

    def _on_serving(self, worker: Worker) -> None:
        if worker.serves_since is None:
            worker.serves_since = time.monotonic()
        self._brake.ease(worker.serves_since)
        if worker.replaces is not None:
            worker.replaces.leave(self._grace)
            worker.replaces = None
            self._replaced += 1
            self._brake.release()
        if worker.silence > self._config.timeout_worker_healthcheck:
            logger.error(
                "Child process [%d] is hung: no sign of life for %s.",
                worker.child.pid,
                counted(self._config.timeout_worker_healthcheck, "second"),
            )
            worker.silence = 0.0
            worker.child.kill()

    def _on_end(self, worker: Worker) -> None:
        worker.child.close()
        self._workers.remove(worker)
        if self._admin is not None:
            self._admin.on_ended(worker.child.pid)
        for other in self._workers:
            if other.replaces is worker:
                other.replaces = None
        if worker.is_leaving or self._is_stopping:
            # One that a signal kills has not come so far as to start the application.
            is_cut_off = (worker.child.exit_code or 0) > 0
            self.has_cut_off_start |= is_cut_off and self._is_stopping and not self.has_started
            return
        self._replaced += worker.child.ready
        if worker.child.ready:
            logger.error("Child process [%d] died: %s", worker.child.pid, reason_of(worker.child))
            self._brake.tighten(worker.serves_since or time.monotonic())
        else:
            self._on_failed_start(worker)

    def _on_failed_start(self, worker: Worker) -> None:
        child = worker.child
        if self.failure is not None:
            return
        if child.failure is not None and child.failure.traceback:
            logger.error("Child process [%d] cannot import the application:\n%s", child.pid, child.failure.traceback)
        reason = reason_of(child)
        if not self.has_started:
            line = reason if child.failure is not None else f"a worker process could not start: {reason}"
            self.failure = WorkerFailed(line, exit_code_of(child))
            return
        logger.error("Child process [%d] could not start: %s", child.pid, reason)
        self._brake.tighten(None)
        if worker.replaces is not None:
            logger.error("The workers that serve are kept.")
            for other in self._workers:
                other.is_outdated = False

    def _fill(self) -> None:
        """Starts who is missing, sends off who is too many, and replaces one of those who are due."""
        standing = [worker for worker in self._workers if worker.replaces is None and not worker.is_leaving]
        for worker in standing[self._wanted :]:
            worker.leave(self._grace)
        if not self.has_started:
            self.has_started = len(standing) == self._wanted and all(worker.child.ready for worker in standing)
        if self._brake.is_on:
            return
        for _ in range(self._wanted - len(standing)):
            self._start(None)
        # One at a time: no more memory is needed than for one more, and those that became due together part.
        if not any(worker.replaces for worker in self._workers):
            due = next((worker for worker in standing if worker.is_due), None)
            if due is not None:
                self._start(due)

    def _start(self, replaces: Worker | None) -> None:
        child = Child(self._config, self._listeners, reports=self._admin is not None)
        child.start()
        if self._admin is not None and child.asks is not None:
            self._admin.on_started(child.pid, child.asks)
        self._workers.append(Worker(child, replaces))


def reason_of(child: Child) -> str:
    """Why a child has ended, in a few words."""
    if child.failure is not None:
        return child.failure.line
    code = child.exit_code or 0
    if code >= 0:
        return f"exit code {code}"
    return f"killed by {signal.Signals(-code).name}"


def exit_code_of(child: Child) -> int:
    """The exit code for the supervisor of a child that could not start: its own, or as a shell has it for a signal."""
    code = child.exit_code or 0
    return 128 - code if code < 0 else code or WorkerFailed.exit_code
