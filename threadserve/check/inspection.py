"""The inspected process: it loads the application, and sends each finding to the process that reports.

Runs on the process's main thread; loops and the watchdog have threads of their own. It owns the application and its end
of the connection, and ends with them. It binds no address.
"""

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

from threadserve.app.app_errors import format_app_traceback, format_error
from threadserve.app.import_string import parse_import_string
from threadserve.app.loading import AppLoader
from threadserve.app.project_copies import make_project
from threadserve.check.dry_run import DryRun, InstanceRun, Stage
from threadserve.check.extensions import check_extension_modules
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
from threadserve.runtime.exiting import exit_deadline, exit_now
from threadserve.runtime.gil import GilGuard
from threadserve.runtime.signals import ignore_signal
from threadserve.threads.guarded_loops import guarded_loop_factory
from threadserve.tls.certificates import load_certificates

# The last lines of a traceback, which say where the error is.
MAX_TRACEBACK_LINES = 6
POOL_STOP_SECONDS = 1.0

DONE = "done"


@dataclass(frozen=True)
class InvalidSetting:
    """A setting that the server would refuse; see `ConfigError`."""

    option: str
    problem: str


@dataclass(frozen=True)
class Progress:
    """The stage that an instance begins, and the application's interface as far as it is known."""

    number: int
    stage: Stage
    interface: str


CheckMessage = Finding | InvalidSetting | Progress | str


class MessageSender:
    """This process's end of the connection. Any thread may send."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._send_lock = threading.Lock()
        self._sent: set[Finding] = set()

    def send_threadsafe(self, message: CheckMessage) -> None:
        """Send a message, unless it is a finding that was sent already."""
        with self._send_lock:
            if isinstance(message, Finding):
                if message in self._sent:
                    return
                self._sent.add(message)
            self._connection.send(message)


def inspect(config: Config, limit: float, connection: Connection) -> None:
    """Inspect an application and send the findings. No stage may take longer than `limit` seconds.

    Output of the application goes to stderr.
    """
    os.dup2(sys.__stderr__.fileno() if sys.__stderr__ is not None else 2, 1)
    os.set_inheritable(connection.fileno(), False)
    # A terminal sends it to both processes; the other process ends this one.
    signal.signal(signal.SIGINT, ignore_signal)
    faulthandler.enable()
    threading.Thread(target=exit_with_parent, name="threadserve-check-end", daemon=True).start()
    sender = MessageSender(connection)
    with exit_deadline():
        try:
            Inspection(assume_threads(config), sender, limit).run()
        except ConfigError as error:
            sender.send_threadsafe(InvalidSetting(error.option, error.problem))
        sender.send_threadsafe(DONE)


def exit_with_parent() -> None:
    """End this process when its parent is gone. Runs on a thread of its own."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        exit_now(1, clean=False)


def assume_threads(config: Config) -> Config:
    """Return the configuration with two threads if none was given, because one thread breaks nothing."""
    return replace(config, threads=2) if config.threads is None and config.thread_count == 1 else config


class Inspection:
    """The inspection of one application."""

    def __init__(self, config: Config, sender: MessageSender, limit: float) -> None:
        configure_logging(config)
        self._config = config
        self._sender = sender
        self._loader = AppLoader(config)
        self._guard = GilGuard()
        self._log = LogCollector()
        self._watchdog = StageWatchdog(limit, self._on_late)
        self._dry_run = DryRun(config, self._loader, self._on_stage, self._on_up)

    def run(self) -> None:
        """Load the application, inspect it while it is up, and shut it down. Raises `ConfigError`."""
        factory = guarded_loop_factory(self._config)
        self._log.start()
        load_certificates(self._config, 1)
        self._guard.install()
        self._watchdog.start()
        self._dry_run.run(factory)
        self._watchdog.stop()
        failed = self._dry_run.failed_run
        if failed is not None:
            self._sender.send_threadsafe(self._make_failure(failed))
        self._send_all([*self._log.read_findings(), *check_extension_modules(self._guard, self._config.thread_count)])
        self._guard.uninstall()
        self._log.stop()
        self._loader.stop(POOL_STOP_SECONDS)

    def _send_all(self, findings: list[Finding]) -> None:
        for finding in findings:
            self._sender.send_threadsafe(finding)

    def _on_stage(self, instance_run: InstanceRun) -> None:
        self._watchdog.on_stage_threadsafe(instance_run)
        self._sender.send_threadsafe(Progress(instance_run.number, instance_run.stage, self._loader.interface))

    def _on_late(self, finding: Finding) -> None:
        self._send_all([*self._log.read_findings(), finding])
        self._sender.send_threadsafe(DONE)
        exit_now(1, clean=False)

    def _on_up(self) -> None:
        """Inspect the objects that the application has made, while it is up."""
        first = self._dry_run.started_runs[0]
        loader = self._loader
        if first.app is None or self._config.thread_count == 1:
            return
        is_asked_for = self._config.app_instance == "shared"
        project = make_project(parse_import_string(str(self._config.app)).module, list_texts(self._config.app_shared))
        sharing = Sharing(
            project,
            loader.sharing_reason,
            is_asked_for,
            is_wsgi=loader.interface == "wsgi",
            is_complete=self._dry_run.failed_run is None,
        )
        self._send_all(find_loop_bound_objects(first.app, sharing))
        if loader.sharing_reason and not is_asked_for:
            self._report_sharing(loader.sharing_reason)

    def _report_sharing(self, reason: str) -> None:
        """Report that threads share the application, unless a warning about that was logged."""
        if not any(finding.code == SHARED_CODE for finding in self._log.read_findings()):
            message = f"All threads share one instance of the application: {reason}."
            self._sender.send_threadsafe(Finding(Level.NOTE, SHARED_CODE, message))

    def _make_failure(self, instance_run: InstanceRun) -> Finding:
        """Return the finding about the error that ended a run."""
        error = instance_run.failure
        assert error is not None
        is_first = instance_run.number == 1
        if isinstance(error, AppNotRepeatable):
            location = locate_error(error.__cause__)
            return Finding(Level.BREAK, "second-instance", f"{error.complaint}.", f"{error.remedy}.", location)
        thread = instance_run.thread.ident if instance_run.thread is not None else None
        location = locate_error(error) or self._log.locate_on_thread(thread)
        if instance_run.stage is Stage.LOADING:
            code, remedy = ("load-fails", APP_REMEDY) if is_first else ("second-instance", LOADING_REMEDY)
            return Finding(Level.BREAK, code, describe_failure(error), remedy, location)
        reason = describe_failure(error).removeprefix(STARTUP_FAILED)
        message = f"Instance {instance_run.number} of the application has not {instance_run.stage}: {reason}"
        code = "startup-fails" if instance_run.stage is Stage.STARTING else "shutdown-fails"
        return Finding(Level.BREAK, code, message, APP_REMEDY if is_first else LIFESPAN_REMEDY, location)


# The beginning of an error that only repeats the stage.
STARTUP_FAILED = "the application's startup failed: "
APP_REMEDY = "Mend it: no server can serve the application as it is."
LOADING_REMEDY = (
    "Each thread loads the application for itself. Keep what can be done only once in one copy with --app-shared "
    "MODULE, or all of it with --app-instance shared."
)
LIFESPAN_REMEDY = "Each thread has a lifespan of its own: what can be done only once belongs to none of them."


def describe_failure(error: BaseException) -> str:
    """Return an error in a line, with the end of the traceback if the application raised it."""
    line = str(error) if type(error).__module__.startswith("threadserve.") else format_error(error)
    line = line if line.endswith((".", "?", "!")) else f"{line}."
    if not isinstance(error, AppImportFailed) or error.__cause__ is None:
        return line
    return "\n".join([line, *format_app_traceback(error.__cause__).splitlines()[-MAX_TRACEBACK_LINES:]])
