"""The story of a check: another process looks at the application, and this one reports what it has found.

Runs on the main thread of the process that the command starts. It owns that process and this end of the connection; it
imports nothing of the application, binds no address, and outlives whatever the application does.
"""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
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
from threadserve.runtime.exiting import GRACE
from threadserve.runtime.gil import is_gil_enabled
from threadserve.workers.child import SPAWN

# How long, in seconds, each stage of the application may take.
STAGE_LIMIT_SECONDS = 60.0
# How much longer the process that looks may need to say so.
ANSWER_GRACE_SECONDS = 10.0


def check(app: str, settings: Mapping[str, Any], limit: float = STAGE_LIMIT_SECONDS) -> CheckReport:
    """Looks at an application with the settings of `Config` that are given.

    No stage of it may take longer than `limit` seconds. Raises `ConfigError` for a setting that the server would
    refuse.
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
    """What a process tells that looks at the application, and how it has ended if it could not tell that itself."""
    with run_inspection(config, limit) as (process, connection):
        last: CheckMessage | None = None
        while last != DONE:
            if not wait([connection], limit + ANSWER_GRACE_SECONDS):
                process.kill()
                yield Finding(
                    Level.BREAK,
                    "hangs",
                    f"{describe_progress(last)} within {format_count(limit, 'second')}.",
                    STUCK_REMEDY,
                )
                return
            try:
                last = connection.recv()
            except (EOFError, OSError):
                process.join(ANSWER_GRACE_SECONDS)
                code = process.exitcode or 0
                yield Finding(
                    Level.BREAK,
                    "crash",
                    f"{describe_progress(last)}: {describe_exit(code)}.",
                    CRASH_REMEDY if code < 0 else EXIT_REMEDY,
                )
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
def run_inspection(config: Config, limit: float) -> Iterator[tuple[Any, Connection]]:
    """A process that looks at the application, and the connection that it tells through. Ends it in the end."""
    connection, far_end = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=inspect, args=(config, limit, far_end), name="threadserve-check")
    process.start()
    far_end.close()
    try:
        yield process, connection
        process.join(GRACE + ANSWER_GRACE_SECONDS)
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        connection.close()


def describe_progress(last: CheckMessage | None) -> str:
    """How far the application had come when nothing more was told."""
    if isinstance(last, Progress):
        return f"Instance {last.number} of the application has not {last.stage}"
    return "The process that looks at the application has not come to an end"


def describe_exit(exit_code: int) -> str:
    """How a process has ended."""
    if exit_code < 0:
        return f"the process was ended by {signal.Signals(-exit_code).name}"
    return f"the process ended with exit code {exit_code}"
