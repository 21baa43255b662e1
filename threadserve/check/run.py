"""A check: another process inspects the application, and this one reports the findings.

Runs on the main thread of the command's process. It owns the inspected process and its end of the connection. It
imports nothing of the application, binds no address, and survives whatever the application does.
"""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from threadserve.check.capacity import describe_capacity, plan_capacity
from threadserve.check.contradictions import Facts, find_contradictions
from threadserve.check.findings import Finding, Level
from threadserve.check.inspection import DONE, CheckMessage, InvalidSetting, Progress, assume_threads, inspect
from threadserve.check.report import CheckReport
from threadserve.config import Config
from threadserve.config.environment import load_environment
from threadserve.errors import ConfigError
from threadserve.logging.wording import format_count
from threadserve.runtime.cpus import count_usable_cpus
from threadserve.runtime.exiting import EXIT_GRACE_SECONDS
from threadserve.runtime.gil import is_gil_enabled
from threadserve.workers.child import SPAWN

# The time that each stage of the application may take.
STAGE_LIMIT_SECONDS = 60.0
# The further time that the inspected process may take to report a late stage.
ANSWER_GRACE_SECONDS = 10.0


def check(app: str, settings: Mapping[str, Any], limit: float = STAGE_LIMIT_SECONDS) -> CheckReport:
    """Check an application with the settings of `Config` that are given, and return the report.

    No stage may take longer than `limit` seconds. Raises `ConfigError` for a setting that the server would refuse.
    """
    config = Config(app, **settings)
    load_environment(config)
    findings: list[Finding] = []
    interface: str = config.interface
    for message in receive_messages(config, limit):
        if isinstance(message, Finding):
            findings.append(message)
        elif isinstance(message, Progress):
            interface = message.interface
        elif isinstance(message, InvalidSetting):
            raise ConfigError(message.option, message.problem)
    facts = Facts(config, frozenset(settings), interface, is_gil_enabled(), count_usable_cpus())
    numbers = plan_capacity(config, interface)
    notes = [THREADS_ASSUMED] if assume_threads(config) is not config else []
    return CheckReport(app, [*findings, *find_contradictions(facts), *notes, describe_capacity(numbers)], numbers)


def receive_messages(config: Config, limit: float) -> Iterator[CheckMessage]:
    """Yield the messages of the inspected process, and a finding about its end if it could not report that itself."""
    with run_inspection(config, limit) as (process, connection):
        last: CheckMessage | None = None
        while last != DONE:
            if not wait([connection], limit + ANSWER_GRACE_SECONDS):
                process.kill()
                message = f"{describe_progress(last)} within {format_count(limit, 'second')}."
                yield Finding(Level.BREAK, "hangs", message, STUCK_REMEDY)
                return
            try:
                last = connection.recv()
            except (EOFError, OSError):
                process.join(ANSWER_GRACE_SECONDS)
                code = process.exitcode or 0
                message = f"{describe_progress(last)}: {describe_exit(code)}."
                yield Finding(Level.BREAK, "crash", message, CRASH_REMEDY if code < 0 else EXIT_REMEDY)
                return
            yield last


THREADS_ASSUMED = Finding(
    Level.NOTE,
    "threads-assumed",
    "Nobody has said how many threads are to serve, and one would: it was looked at as with two.",
    "Say --threads N.",
)
STUCK_REMEDY = "Nothing in the process runs any more: a call into compiled code may keep the GIL for itself."
CRASH_REMEDY = "What it wrote to stderr says where: most likely in compiled code."
EXIT_REMEDY = "Something in it ends the process, which would be the server's."


@contextmanager
def run_inspection(config: Config, limit: float) -> Iterator[tuple[BaseProcess, Connection]]:
    """Run a process that inspects the application; yield it and the connection to it, and end it after the block."""
    connection, far_end = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=inspect, args=(config, limit, far_end), name="threadserve-check")
    process.start()
    far_end.close()
    try:
        yield process, connection
        process.join(EXIT_GRACE_SECONDS + ANSWER_GRACE_SECONDS)
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        connection.close()


def describe_progress(last: CheckMessage | None) -> str:
    """Return how far the application had come by the last message."""
    if isinstance(last, Progress):
        return f"Instance {last.number} of the application has not {last.stage}"
    return "The process that looks at the application has not come to an end"


def describe_exit(exit_code: int) -> str:
    """Return how a process has ended."""
    if exit_code < 0:
        return f"the process was ended by {signal.Signals(-exit_code).name}"
    return f"the process ended with exit code {exit_code}"
