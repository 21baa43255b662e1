"""Findings from the server's log, collected while the application starts and stops.

Any thread may log. It owns the records that it has collected and changes none; they are logged all the same.
"""

import logging
from collections.abc import Iterator
from types import ModuleType

from threadserve.app import import_guard, lifespan, loading, startups
from threadserve.check.findings import Finding, Level, SourceLocation
from threadserve.check.source_locations import locate_error, locate_in_text
from threadserve.threads import cross_thread_log
from threadserve.tls import certificates

logger = logging.getLogger("threadserve.error")


def get_record_name(module: ModuleType) -> str:
    """Return the name that log records have for a module."""
    return module.__name__.rpartition(".")[2]


# The code of a warning's finding, by the module that has logged it.
MODULE_CODES = {
    cross_thread_log: "foreign-call",
    import_guard: "serves-itself",
    loading: "factory",
    certificates: "tls",
    startups: "lifespans-overwrite",
}
CODES = {get_record_name(module): code for module, code in MODULE_CODES.items()}
SHARED_CODE = "shared-instance"
SHARED_STATE_REMEDY = (
    'What its lifespans make for one loop belongs into their state: yield {"client": ...}, request.state.client.'
)


class LogCollector:
    """Collects the warnings and errors of `threadserve.error` after `start`."""

    def __init__(self) -> None:
        self._records: list[logging.LogRecord] = []

    def start(self) -> None:
        """Collect records from now on, whatever the logger's level and handlers."""
        logger.addFilter(self._on_record)
        logger.setLevel(min(logger.getEffectiveLevel(), logging.WARNING))

    def stop(self) -> None:
        """Collect no further records."""
        logger.removeFilter(self._on_record)

    def _on_record(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            self._records.append(record)
        return True

    def read_findings(self) -> Iterator[Finding]:
        """Yield a finding for each warning, and for a lifespan that failed to shut down."""
        for record in self._records:
            text = record.getMessage()
            if record.levelno == logging.WARNING:
                problem, _, remedy = text.partition(". ")
                code = choose_code(record)
                remedy = remedy or (SHARED_STATE_REMEDY if code == SHARED_CODE else "")
                yield Finding(Level.WARN, code, f"{problem.removesuffix('.')}.", remedy)
            elif record.module == get_record_name(lifespan) and "shutdown" in text and text.endswith("Exiting."):
                problem = text.removesuffix(" Exiting.")
                remedy = "The server ends all the same, but what was to be closed may not be."
                yield Finding(Level.WARN, "shutdown-fails", problem, remedy, self.locate_on_thread(record.thread))

    def locate_on_thread(self, thread: int | None) -> SourceLocation | None:
        """Return the line of the project where the last error logged on a thread was raised."""
        places = (locate_record(record) for record in reversed(self._records) if record.thread == thread)
        return next((place for place in places if place is not None), None)


def choose_code(record: logging.LogRecord) -> str:
    """Return the code of a warning's finding."""
    if record.module == get_record_name(loading) and "shared" in str(record.msg):
        return SHARED_CODE
    return CODES.get(record.module, "logged")


def locate_record(record: logging.LogRecord) -> SourceLocation | None:
    """Return the line of the project from a record's traceback, or from its text."""
    error = record.exc_info[1] if record.exc_info else None
    return locate_error(error) if error is not None else locate_in_text(record.getMessage())
