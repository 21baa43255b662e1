"""Log lines as JSON objects, for collectors that take a log apart.

Runs on whichever thread logs; a formatter is not written after it was made. It never changes a record, and never
touches the access log's own JSON, which is made by its format.
"""

import json
import logging

from threadserve.logging.wording import format_utc_time


class JsonFormatter(logging.Formatter):
    """A formatter that makes one JSON object of each record, always on one line and with the same keys.

    They are `time` (UTC, ISO 8601), `level`, `logger`, `message`, `pid`, `thread` (its name) and `exception`, the
    traceback as text with the stack that `stack_info` asks for, or null. Everything beyond ASCII is escaped. What
    `format` and `datefmt` say in a configuration makes no difference.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return a record's line without its newline. Raises what its arguments raise when they do not fit."""
        return json.dumps(
            {
                "time": format_utc_time(record.created),
                "level": record.levelname,
                "logger": record.name,
                "message": record.getMessage(),
                "pid": record.process,
                "thread": record.threadName,
                "exception": self._exception(record),
            }
        )

    def _exception(self, record: logging.LogRecord) -> str | None:
        text, raised = record.exc_text, record.exc_info
        # Another formatter may have made the text. With nothing raised, `exc_info=True` gives three times None.
        if not text and raised and raised[0]:
            text = self.formatException(raised)
        stack = self.formatStack(record.stack_info) if record.stack_info else None
        return "\n".join(filter(None, [text, stack])) or None
