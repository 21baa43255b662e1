"""The worker processes of a supervisor: their number, their replacement, and their end.

Belongs to the supervisor's main thread and owns the child processes; the listeners belong to the supervisor. It never
waits: `check` reads what has happened and acts on it.
"""

import logging
import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from socket import socket

from threadserve.admin.workers import WorkersAdmin
from threadserve.config import Config
from threadserve.errors import WorkerFailed
from threadserve.logging.wording import format_count
from threadserve.metrics.states import ServerPhase
from threadserve.workers.backoff import StartBackoff
from threadserve.workers.child import ChildProcess

logger = logging.getLogger("threadserve.error")

# Time beyond `timeout_graceful_shutdown` for cutting off requests and for lifespan shutdown.
STOP_MARGIN_SECONDS = 30.0
WORKER_TERMINATE_GRACE_SECONDS = 2.0


@dataclass(eq=False)
class Worker:
    """One worker process.

    `replaces` is the worker to stop once this one serves. `kill_at` is set, in seconds of `time.monotonic`, when the
    worker is to end by then. `silence_seconds` is the time since its last heartbeat.
    """

    child: ChildProcess
    replaces: "Worker | None" = None
    is_outdated: bool = False
    is_stopping: bool = False
    kill_at: float | None = None
    silence_seconds: float = 0.0
    serves_since: float | None = None

    @property
    def is_to_be_replaced(self) -> bool:
        """True if a replacement is to be started."""
        return not self.is_stopping and (self.is_outdated or self.child.wants_replacement)

    def stop(self, grace: float | None) -> None:
        """Ask the worker to stop gracefully, and have it killed after `grace` seconds unless that is None."""
        self._set_deadline(grace)
        self.child.stop()

    def terminate(self) -> None:
        """Ask the worker to stop at once, whatever it serves."""
        self._set_deadline(WORKER_TERMINATE_GRACE_SECONDS)
        self.child.terminate()

    def _set_deadline(self, grace: float | None) -> None:
        self.is_stopping = True
        self.replaces = None
        self.kill_at = time.monotonic() + grace if grace is not None else None


class WorkerPool:
    """All workers of a supervisor. `failure` is set when the workers that were started first could not serve.

    `has_cut_off_start` tells that the workers were stopped during their first start, and one had to be cut off.
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
        self._backoff = StartBackoff()
        self._is_stopping = False

    @property
    def is_replacing(self) -> bool:
        """True while workers with older code are being replaced."""
        return any(worker.is_outdated and not worker.is_stopping for worker in self._workers)

    @property
    def has_ended(self) -> bool:
        """True if no worker is left."""
        return not self._workers

    def waitables(self) -> list[Connection | int]:
        """Return what becomes readable when there is something to check, for `multiprocessing.connection.wait`."""
        return [each for worker in self._workers for each in worker.child.waitables()]

    def check(self, elapsed: float) -> None:
        """Read what the workers have sent and which have ended in the last `elapsed` seconds, and act on it."""
        for worker in self._workers.copy():
            self._check_worker(worker, elapsed)
        if not self._is_stopping and self.failure is None:
            self._adjust()

    def report_to_admin(self, phase: ServerPhase) -> None:
        """Tell the admin thread the supervisor's phase and the numbers of workers."""
        if self._admin is not None:
            self._admin.update(phase, self._wanted, self._replaced)

    def grow(self) -> None:
        """Serve with one worker more."""
        self._wanted += 1

    def shrink(self) -> bool:
        """Serve with one worker less. Return False for the last worker, which stays."""
        if self._wanted == 1:
            return False
        self._wanted -= 1
        return True

    def reopen_log_files(self) -> None:
        """Ask every worker to reopen its log files."""
        for worker in self._workers:
            worker.child.reopen_log_files()

    def replace_all(self) -> None:
        """Replace each worker by a new one, which loads the current code."""
        self._backoff.reset()
        for worker in self._workers:
            if worker.replaces is None:
                worker.is_outdated = True
            else:
                # A replacement that is starting may have loaded older code.
                worker.stop(self._grace)

    def stop(self) -> None:
        """Ask every worker to stop gracefully. Those that were already asked to, and do not serve yet, stop at once."""
        self._is_stopping = True
        for worker in self._workers:
            if not worker.is_stopping:
                worker.stop(self._grace)
            elif not worker.child.ready:
                worker.terminate()
            logger.info("Waiting for child process [%d]", worker.child.pid)

    def terminate(self) -> None:
        """Ask every worker to stop at once, whatever it serves."""
        for worker in self._workers:
            worker.terminate()

    def kill(self) -> None:
        """Kill every worker that is left, and wait for its end, which takes a moment only."""
        for worker in self._workers:
            worker.child.kill()
        for worker in self._workers:
            worker.child.join()
            worker.child.close()
        self._workers.clear()

    @property
    def _grace(self) -> float | None:
        timeout = self._config.timeout_graceful_shutdown
        return timeout + STOP_MARGIN_SECONDS if timeout is not None else None

    def _check_worker(self, worker: Worker, elapsed: float) -> None:
        child = worker.child
        # In this order: after the end nothing more can be received.
        is_alive = child.is_alive()
        worker.silence_seconds = 0.0 if child.receive() else worker.silence_seconds + elapsed
        if not is_alive:
            self._on_exit(worker)
        elif worker.is_stopping:
            self._kill_overdue(worker)
        elif child.ready:
            self._on_serving(worker)

    def _kill_overdue(self, worker: Worker) -> None:
        if worker.kill_at is not None and time.monotonic() >= worker.kill_at:
            worker.kill_at = None
            logger.error("Child process [%d] did not end in time and is killed.", worker.child.pid)
            worker.child.kill()

    def _on_serving(self, worker: Worker) -> None:
        if worker.serves_since is None:
            worker.serves_since = time.monotonic()
        self._backoff.on_serving(worker.serves_since)
        if worker.replaces is not None:
            worker.replaces.stop(self._grace)
            worker.replaces = None
            self._replaced += 1
            self._backoff.reset()
        if worker.silence_seconds > self._config.timeout_worker_healthcheck:
            logger.error(
                "Child process [%d] is hung: no sign of life for %s.",
                worker.child.pid,
                format_count(self._config.timeout_worker_healthcheck, "second"),
            )
            worker.silence_seconds = 0.0
            worker.child.kill()

    def _on_exit(self, worker: Worker) -> None:
        worker.child.close()
        self._workers.remove(worker)
        if self._admin is not None:
            self._admin.on_ended(worker.child.pid)
        for other in self._workers:
            if other.replaces is worker:
                other.replaces = None
        if worker.is_stopping or self._is_stopping:
            # A worker killed by a signal had not begun to start the application.
            is_cut_off = (worker.child.exit_code or 0) > 0
            self.has_cut_off_start |= is_cut_off and self._is_stopping and not self.has_started
            return
        self._replaced += worker.child.ready
        if worker.child.ready:
            logger.error("Child process [%d] died: %s", worker.child.pid, format_exit_reason(worker.child))
            self._backoff.on_death(worker.serves_since or time.monotonic())
        else:
            self._on_failed_start(worker)

    def _on_failed_start(self, worker: Worker) -> None:
        child = worker.child
        if self.failure is not None:
            return
        if child.failure is not None and child.failure.traceback:
            logger.error("Child process [%d] cannot import the application:\n%s", child.pid, child.failure.traceback)
        reason = format_exit_reason(child)
        if not self.has_started:
            line = reason if child.failure is not None else f"a worker process could not start: {reason}"
            self.failure = WorkerFailed(line, find_exit_code(child))
            return
        logger.error("Child process [%d] could not start: %s", child.pid, reason)
        self._backoff.on_death(None)
        if worker.replaces is not None:
            logger.error("The workers that serve are kept.")
            for other in self._workers:
                other.is_outdated = False

    def _adjust(self) -> None:
        """Start missing workers, stop surplus ones, and start a replacement for one that is to be replaced."""
        permanent = [worker for worker in self._workers if worker.replaces is None and not worker.is_stopping]
        for worker in permanent[self._wanted :]:
            worker.stop(self._grace)
        if not self.has_started:
            self.has_started = len(permanent) == self._wanted and all(worker.child.ready for worker in permanent)
        if self._backoff.is_active:
            return
        for _ in range(self._wanted - len(permanent)):
            self._start(None)
        # One at a time: the memory for one more worker is enough, and workers that reached a limit together will not
        # reach it together again.
        if not any(worker.replaces for worker in self._workers):
            replaced = next((worker for worker in permanent if worker.is_to_be_replaced), None)
            if replaced is not None:
                self._start(replaced)

    def _start(self, replaces: Worker | None) -> None:
        child = ChildProcess(self._config, self._listeners, reports=self._admin is not None)
        child.start()
        if self._admin is not None and child.status_socket is not None:
            self._admin.on_started(child.pid, child.status_socket)
        self._workers.append(Worker(child, replaces))


def format_exit_reason(child: ChildProcess) -> str:
    """Return in a few words why a child process has ended."""
    if child.failure is not None:
        return child.failure.line
    code = child.exit_code or 0
    if code >= 0:
        return f"exit code {code}"
    return f"killed by {signal.Signals(-code).name}"


def find_exit_code(child: ChildProcess) -> int:
    """Return the supervisor's exit code for a failed start: the child's own, or 128 plus a signal's number."""
    code = child.exit_code or 0
    return 128 - code if code < 0 else code or WorkerFailed.exit_code
