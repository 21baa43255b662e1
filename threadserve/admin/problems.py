"""The last warnings and errors of the log, to be shown.

Any thread may log and any may ask; `logging` locks the handler while it takes a record.
"""

import logging
import re

from threadserve.metrics.states import LoggedProblem

MAX_PROBLEMS = 50
MAX_MESSAGE_LENGTH = 300
# A query string may have secrets, and is no part of what has gone wrong. It ends at the next space: no target has one.
QUERY_STRING = re.compile(r"\?\S+")
# Refusals quote what they refuse, header fields among it.
REFUSAL_PREFIX = "Refused"
QUOTED_TEXT = re.compile(r"['\"].*")

logger = logging.getLogger("threadserve.error")


class ProblemHandler(logging.Handler):
    """Keeps what the server's log says, from warnings on: the first line, and of an exception its type."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._last: tuple[LoggedProblem, ...] = ()

    def install(self) -> None:
        """Keeps what is logged from now on."""
        logger.addHandler(self)

    def uninstall(self) -> None:
        """Keeps nothing more."""
        logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        line = record.getMessage().partition("\n")[0]
        if line.startswith(REFUSAL_PREFIX):
            line = QUOTED_TEXT.sub("…", line)
        if record.exc_info and record.exc_info[0] is not None:
            line += f": {record.exc_info[0].__qualname__}"
        problem = LoggedProblem(record.created, record.levelname, QUERY_STRING.sub("?…", line)[:MAX_MESSAGE_LENGTH])
        # Another tuple each time: others may be reading this one.
        self._last = (*self._last, problem)[-MAX_PROBLEMS:]

    def last_threadsafe(self) -> tuple[LoggedProblem, ...]:
        """The last problems, the oldest first."""
        return self._last
