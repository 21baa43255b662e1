"""A log handler that keeps the last warnings and errors, for the status page.

Any thread may log and any may read; `logging` locks the handler while it takes a record.
"""

import logging
import re

from threadserve.metrics.states import LoggedProblem

MAX_PROBLEMS = 50
MAX_MESSAGE_LENGTH = 300
# Query strings may have secrets, so they are not shown. They end at a space, which no request target contains.
QUERY_STRING = re.compile(r"\?\S+")
# Lines about refused requests quote them, header fields among it.
REFUSAL_PREFIX = "Refused"
QUOTED_TEXT = re.compile(r"['\"].*")

logger = logging.getLogger("threadserve.error")


class ProblemHandler(logging.Handler):
    """Keeps the records of the server's log from warnings on: the first line, and the type of an exception."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._problems: tuple[LoggedProblem, ...] = ()

    def install(self) -> None:
        """Keep the records that are logged from now on."""
        logger.addHandler(self)

    def uninstall(self) -> None:
        """Keep no further records."""
        logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record; see `logging.Handler`."""
        line = record.getMessage().partition("\n")[0]
        if line.startswith(REFUSAL_PREFIX):
            line = QUOTED_TEXT.sub("…", line)
        if record.exc_info and record.exc_info[0] is not None:
            line += f": {record.exc_info[0].__qualname__}"
        problem = LoggedProblem(record.created, record.levelname, QUERY_STRING.sub("?…", line)[:MAX_MESSAGE_LENGTH])
        # A new tuple each time, because other threads may be reading this one.
        self._problems = (*self._problems, problem)[-MAX_PROBLEMS:]

    def list_threadsafe(self) -> tuple[LoggedProblem, ...]:
        """Return the last problems, the oldest first."""
        return self._problems
