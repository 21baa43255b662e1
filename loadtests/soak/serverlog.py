"""The server's log, a JSON object on each line, and what in it has to be explained.

`JsonLines` runs in the server's processes, so this module needs nothing but the standard library.
"""

import json
import logging
from dataclasses import dataclass
from typing import Any

# For `--log-config`.
CONFIGURATION: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "loadtests.soak.serverlog.JsonLines"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
}


class JsonLines(logging.Formatter):
    """One line for each record, its traceback included."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        fields = {
            "time": record.created,
            "level": record.levelname,
            "pid": record.process,
            "thread": record.threadName,
            "text": super().format(record),
        }
        return json.dumps(fields)


@dataclass(frozen=True)
class Entry:
    """One record, with its traceback in `text`; or, with the level "", what was printed past the logging."""

    time: float
    level: str
    pid: int
    thread: str
    text: str

    @property
    def is_serious(self) -> bool:
        """Whether it has to be explained."""
        return self.level not in ("DEBUG", "INFO", "WARNING")


def read(text: str) -> list[Entry]:
    """All entries of a log; lines past the logging that follow each other are one."""
    entries: list[Entry] = []
    for line in text.splitlines():
        entry = entry_of(line)
        if entry is not None:
            entries.append(entry)
        elif entries and not entries[-1].level:
            before = entries.pop()
            entries.append(Entry(before.time, "", 0, "", f"{before.text}\n{line}"))
        elif line:
            entries.append(Entry(entries[-1].time if entries else 0.0, "", 0, "", line))
    return entries


def entry_of(line: str) -> Entry | None:
    """The entry that a line is, or None."""
    try:
        return Entry(**json.loads(line))
    except (ValueError, TypeError):
        return None
