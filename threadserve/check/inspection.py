"""The story of the process that a check looks in: it loads the application, and tells of each finding.

Runs on the process's main thread; loops and the watchdog have threads of their own. It owns the application and this
end of the connection, and ends with them. It binds no address.
"""

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

from threadserve.app.app_errors import format_app_traceback, format_error
from threadserve.app.import_string import parse_import_string
from threadserve.app.loading import AppLoader
from threadserve.app.project_copies import make_project
from threadserve.check.dry_run import DryRun, InstanceRun, Stage
from threadserve.check.extensions import check_extensions
from threadserve.check.findings import Finding, Level
from threadserve.check.log_records import SHARED_CODE, LogCollector
from threadserve.check.loop_bound import find_loop_bound_objects
from threadserve.check.object_search import Sharing
from threadserve.check.source_locations import locate_error
from threadserve.check.stage_watchdog import StageWatchdog
from threadserve.config import Config
from threadserve.config.declaring import list_texts
from threadserve.errors import AppImportFailed, AppNotRepeatable, ConfigError
from threadserve.logging.configuring import configure_logging
from threadserve.runtime.exiting import exit_now, exits_in_time
from threadserve.runtime.gil import GilGuard
from threadserve.runtime.signals import survive
from threadserve.threads.guarded_loops import serving_loops
from threadserve.tls.certificates import certificates_for

# Of an error's traceback, so many lines say where it is.
MAX_TRACEBACK_LINES = 6
POOL_STOP_SECONDS = 1.0

DONE = "done"


@dataclass(frozen=True)
class InvalidSetting:
    """A setting that the server would refuse: see `ConfigError`."""

    option: str
    problem: str


@dataclass(frozen=True)
class Progress:
    """What an instance is about to do, and what interface the application has as far as that is known."""

    number: int
    stage: Stage
    interface: str


CheckMessage = Finding | InvalidSetting | Progress | str


class MessageSender:
    """This process's end of the connection. Any thread may tell something."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._told: set[Finding] = set()

    def tell_threadsafe(self, message: CheckMessage) -> None:
        """Tells it, unless it is a finding that has been told."""
        with self._sending:
            if isinstance(message, Finding):
                if message in self._told:
                    return
                self._told.add(message)
            self._connection.send(message)


def inspect(config: Config, limit: float, connection: Connection) -> None:
    """Looks at an application, of which no stage may take longer than `limit` seconds, and tells what it finds.

    What the application prints goes to stderr.
    """
    os.dup2(sys.__stderr__.fileno() if sys.__stderr__ is not None else 2, 1)
    os.set_inheritable(connection.fileno(), False)
    # A terminal sends it to both processes; the other one ends this one.
    signal.signal(signal.SIGINT, survive)
    faulthandler.enable()
    threading.Thread(target=exit_with_parent, name="threadserve-check-end", daemon=True).start()
    teller = MessageSender(connection)
    with exits_in_time():
        try:
            Inspection(assume_threads(config), teller, limit).run()
        except ConfigError as error:
            teller.tell_threadsafe(InvalidSetting(error.option, error.problem))
        teller.tell_threadsafe(DONE)


def exit_with_parent() -> None:
    """Ends this process when the one that has started it is gone. On a thread of its own."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        exit_now(1, clean=False)


def assume_threads(config: Config) -> Config:
    """The configuration to look with: two threads where nobody has said how many, for one breaks nothing."""
    return replace(config, threads=2) if config.threads is None and config.thread_count == 1 else config


class Inspection:
    """One application, looked at once."""

    def __init__(self, config: Config, teller: MessageSender, limit: float) -> None:
        configure_logging(config)
        self._config = config
        self._teller = teller
        self._source = AppLoader(config)
        self._guard = GilGuard()
        self._log = LogCollector()
        self._watchdog = StageWatchdog(limit, self._on_late)
        self._rehearsal = DryRun(config, self._source, self._on_stage, self._on_up)

    def run(self) -> None:
        """Loads the application, looks at it while it is up, and has it shut down. Raises `ConfigError`."""
        factory = serving_loops(self._config)
        self._log.start()
        certificates_for(self._config, 1)
        self._guard.install()
        self._watchdog.start()
        self._rehearsal.run(factory)
        self._watchdog.stop()
        failed = self._rehearsal.failed
        if failed is not None:
            self._teller.tell_threadsafe(self._failure(failed))
        self._tell_all([*self._log.findings(), *check_extensions(self._guard, self._config.thread_count)])
        self._guard.uninstall()
        self._log.stop()
        self._source.stop(POOL_STOP_SECONDS)

    def _tell_all(self, findings: list[Finding]) -> None:
        for finding in findings:
            self._teller.tell_threadsafe(finding)

    def _on_stage(self, performance: InstanceRun) -> None:
        self._watchdog.on_stage_threadsafe(performance)
        self._teller.tell_threadsafe(Progress(performance.number, performance.stage, self._source.interface))

    def _on_late(self, finding: Finding) -> None:
        self._tell_all([*self._log.findings(), finding])
        self._teller.tell_threadsafe(DONE)
        exit_now(1, clean=False)

    def _on_up(self) -> None:
        """Looks at what the application has made, while it has it."""
        first = self._rehearsal.begun[0]
        source = self._source
        if first.app is None or self._config.thread_count == 1:
            return
        is_asked_for = self._config.app_instance == "shared"
        project = make_project(parse_import_string(str(self._config.app)).module, list_texts(self._config.app_shared))
        sharing = Sharing(
            project,
            source.shared_because,
            is_asked_for,
            is_wsgi=source.interface == "wsgi",
            is_complete=self._rehearsal.failed is None,
        )
        self._tell_all(find_loop_bound_objects(first.app, sharing))
        if source.shared_because and not is_asked_for:
            self._tell_shared(source.shared_because)

    def _tell_shared(self, reason: str) -> None:
        """Says that threads share the application, unless that has been logged as a warning."""
        if not any(finding.code == SHARED_CODE for finding in self._log.findings()):
            message = f"All threads share one instance of the application: {reason}."
            self._teller.tell_threadsafe(Finding(Level.NOTE, SHARED_CODE, message))

    def _failure(self, performance: InstanceRun) -> Finding:
        """What has ended a performance."""
        error: Any = performance.failure
        is_first = performance.number == 1
        if isinstance(error, AppNotRepeatable):
            place = locate_error(error.__cause__)
            return Finding(Level.BREAK, "second-instance", f"{error.complaint}.", f"{error.remedy}.", place)
        thread = performance.thread.ident if performance.thread is not None else None
        place = locate_error(error) or self._log.place_on(thread)
        if performance.stage is Stage.LOADING:
            code, remedy = ("load-fails", APP_REMEDY) if is_first else ("second-instance", LOADING_REMEDY)
            return Finding(Level.BREAK, code, describe_failure(error), remedy, place)
        message = (
            f"Instance {performance.number} of the application has not {performance.stage}: {describe_failure(error)}"
        )
        message = message.replace(f" {STARTUP_FAILED}", " ")
        code = "startup-fails" if performance.stage is Stage.STARTING else "shutdown-fails"
        return Finding(Level.BREAK, code, message, APP_REMEDY if is_first else LIFESPAN_REMEDY, place)


# What says no more than the stage.
STARTUP_FAILED = "the application's startup failed: "
APP_REMEDY = "Mend it: no server can serve the application as it is."
LOADING_REMEDY = (
    "Each thread loads the application for itself. Keep what can be done only once in one copy with --app-shared "
    "MODULE, or all of it with --app-instance shared."
)
LIFESPAN_REMEDY = "Each thread has a lifespan of its own: what can be done only once belongs to none of them."


def describe_failure(error: BaseException) -> str:
    """An error in a line, and for the application's own the end of its traceback."""
    line = str(error) if type(error).__module__.startswith("threadserve.") else format_error(error)
    line = line if line.endswith((".", "?", "!")) else f"{line}."
    if not isinstance(error, AppImportFailed) or error.__cause__ is None:
        return line
    return "\n".join([line, *format_app_traceback(error.__cause__).splitlines()[-MAX_TRACEBACK_LINES:]])
