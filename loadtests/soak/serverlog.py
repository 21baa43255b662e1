"""The server's log, a JSON object on each line, and what explains the serious entries in it."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from loadtests.soak.events import Event, Failure, reason_of

# For `--log-config`.
CONFIGURATION: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "threadserve.logging.JsonFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
}
# What `loadtests.apps.soak` makes a thread die of.
LAST_WORDS = "made to die"
DEAD_THREAD = re.compile(r"Loop thread (\d+) died\.")
DEAD_WORKER = re.compile(r"Child process \[(\d+)\] died: killed by SIGKILL")
CUT_OFF = re.compile(r"Cut off \d+ requests? at once: ")
# What Python prints of tasks that had not begun when their loop died.
NOT_BEGUN = re.compile(r"RuntimeWarning: coroutine '.+' was never awaited")
# How frameworks tell an application that its client has gone in the middle of a request.
CLIENT_GONE = re.compile(r"^starlette\.(requests\.ClientDisconnect|websockets\.WebSocketDisconnect)", re.MULTILINE)


@dataclass
class Entry:
    """One record, with its traceback in `text`; or, with the level "", what was printed past the logging."""

    time: float
    level: str
    pid: int
    thread: str
    text: str

    def is_serious(self) -> bool:
        """Return whether it has to be explained."""
        return self.level not in ("DEBUG", "INFO", "WARNING")

    @property
    def victims(self) -> list[str]:
        """The threads or processes whose death makes the server say this, as `Event.victim` has them, or "" for any."""
        if LAST_WORDS in self.text and (dead := DEAD_THREAD.match(self.text)):
            # A lone loop runs on the main thread.
            return [f"{self.pid} threadserve-{dead[1]}", f"{self.pid} MainThread"]
        if dead := DEAD_WORKER.match(self.text):
            return [dead[1]]
        if not self.level and NOT_BEGUN.search(self.text):
            return [""]
        return [f"{self.pid} {self.thread}"] if CUT_OFF.match(self.text) else []

    def reason(self, events: Sequence[Event]) -> str:
        """Return what explains it, or ""."""
        reasons = [reason_of(Failure(self.time, "log", self.text, victim), events) for victim in self.victims]
        return next(filter(None, reasons), "a client vanished on purpose" if CLIENT_GONE.search(self.text) else "")


def read(log: str) -> list[Entry]:
    """Return all entries of a log; lines past the logging that follow each other are one."""
    entries: list[Entry] = []
    for line in filter(None, log.splitlines()):
        try:
            told = json.loads(line)
            text = "\n".join(filter(None, (told["message"], told["exception"])))
            time = datetime.fromisoformat(told["time"]).timestamp()
            entries.append(Entry(time, told["level"], told["pid"], told["thread"], text))
        except (ValueError, TypeError, KeyError):
            if not entries or entries[-1].level:
                entries.append(Entry(entries[-1].time if entries else 0.0, "", 0, "", line))
            else:
                entries[-1].text += f"\n{line}"
    return entries
