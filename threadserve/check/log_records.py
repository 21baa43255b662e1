"""What the server's log says while the application starts and stops, as findings.

Any thread may log. It owns the records it has taken, and changes none; they go to the log all the same.
"""

import logging
from collections.abc import Iterator

from threadserve.check.findings import Finding, Level, SourceLocation
from threadserve.check.source_locations import locate_error, locate_in_text

logger = logging.getLogger("threadserve.error")

# By which part of the server has logged a warning, the kind of finding that it is.
CODES = {
    "foreign_places": "foreign-call",
    "import_guard": "serves-itself",
    "loading": "factory",
    "certificates": "tls",
    "startups": "lifespans-overwrite",
}
SHARED_CODE = "shared-instance"
SHARED_STATE_REMEDY = (
    'What its lifespans make for one loop belongs into their state: yield {"client": ...}, request.state.client.'
)


class LogCollector:
    """The warnings and errors of `threadserve.error` since `start`."""

    def __init__(self) -> None:
        self._records: list[logging.LogRecord] = []

    def start(self) -> None:
        """Takes records from now on, whatever level and handlers the logger has been given."""
        logger.addFilter(self._take)
        logger.setLevel(min(logger.getEffectiveLevel(), logging.WARNING))

    def stop(self) -> None:
        """Takes no more."""
        logger.removeFilter(self._take)

    def _take(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            self._records.append(record)
        return True

    def findings(self) -> Iterator[Finding]:
        """A finding for each warning, and for a lifespan that has failed to shut down."""
        for record in self._records:
            text = record.getMessage()
            if record.levelno == logging.WARNING:
                problem, _, remedy = text.partition(". ")
                code = choose_code(record)
                remedy = remedy or (SHARED_STATE_REMEDY if code == SHARED_CODE else "")
                yield Finding(Level.WARN, code, f"{problem.removesuffix('.')}.", remedy)
            elif record.module == "lifespan" and "shutdown" in text and text.endswith("Exiting."):
                problem = text.removesuffix(" Exiting.")
                remedy = "The server ends all the same, but what was to be closed may not be."
                yield Finding(Level.WARN, "shutdown-fails", problem, remedy, self.place_on(record.thread))

    def place_on(self, thread: int | None) -> SourceLocation | None:
        """The line of the project where the last error was raised that was logged on a thread."""
        places = (locate_record(record) for record in reversed(self._records) if record.thread == thread)
        return next((place for place in places if place is not None), None)


def choose_code(record: logging.LogRecord) -> str:
    """The kind of finding that a warning is."""
    if record.module == "loading" and "shared" in str(record.msg):
        return SHARED_CODE
    return CODES.get(record.module, "logged")


def locate_record(record: logging.LogRecord) -> SourceLocation | None:
    """Where an error was raised, of which the record has the traceback or its text."""
    error = record.exc_info[1] if record.exc_info else None
    return locate_error(error) if error is not None else locate_in_text(record.getMessage())
