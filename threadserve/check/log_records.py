"""What the server's log says while the application starts and stops, as findings.

Any thread may log. It owns the records it has taken, and changes none; they go to the log all the same.
"""

import logging
from collections.abc import Iterator

from threadserve.check.findings import Finding, Level, Place
from threadserve.check.source_locations import place_in_text, place_of_error

logger = logging.getLogger("threadserve.error")

# By which part of the server has logged a warning, the kind of finding that it is.
CODES = {
    "foreign_places": "foreign-call",
    "import_guard": "serves-itself",
    "loading": "factory",
    "certificates": "tls",
    "startups": "lifespans-overwrite",
}
SHARED = "shared-instance"
STATE = 'What its lifespans make for one loop belongs into their state: yield {"client": ...}, request.state.client.'


class LogRecords:
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
                code = code_of(record)
                remedy = remedy or (STATE if code == SHARED else "")
                yield Finding(Level.WARN, code, f"{problem.removesuffix('.')}.", remedy)
            elif record.module == "lifespan" and "shutdown" in text and text.endswith("Exiting."):
                problem = text.removesuffix(" Exiting.")
                remedy = "The server ends all the same, but what was to be closed may not be."
                yield Finding(Level.WARN, "shutdown-fails", problem, remedy, self.place_on(record.thread))

    def place_on(self, thread: int | None) -> Place | None:
        """The line of the project where the last error was raised that was logged on a thread."""
        places = (place_of_record(record) for record in reversed(self._records) if record.thread == thread)
        return next((place for place in places if place is not None), None)


def code_of(record: logging.LogRecord) -> str:
    """The kind of finding that a warning is."""
    if record.module == "loading" and "shared" in str(record.msg):
        return SHARED
    return CODES.get(record.module, "logged")


def place_of_record(record: logging.LogRecord) -> Place | None:
    """Where an error was raised, of which the record has the traceback or its text."""
    error = record.exc_info[1] if record.exc_info else None
    return place_of_error(error) if error is not None else place_in_text(record.getMessage())
