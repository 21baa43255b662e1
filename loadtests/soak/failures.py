"""The failures that clients record and the server logs, and the deaths done on purpose that explain some of them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

# Within how many seconds after a death its consequences come, and how exactly the clocks of two processes agree.
CONSEQUENCES_SECONDS, EXACTNESS_SECONDS = 3.0, 0.1
THREAD, WORKER, RENEWAL = "a thread was made to die", "a worker was killed", "all workers are to be replaced (SIGHUP)"

# What follows a death. The first line is how the clients' libraries say that a connection ended before it should, the
# others are what the server logs, and what Python prints of tasks that had not begun when their loop died.
CONSEQUENCES = re.compile(
    r"(?i:.*(connection (is |was )?(closed|reset|lost|aborted|to remote host was lost)|broken pipe|incomplete))"
    r"|Loop thread \d+ died\.(?s:.*)made to die"
    r"|Child process \[\d+\] died: killed by SIGKILL"
    r"|Cut off \d+ requests? at once: "
    r"|.*RuntimeWarning: coroutine '.+' was never awaited"
)
# How frameworks tell an application that its client has gone in the middle of a request, as some do on purpose.
CLIENT_GONE = re.compile(r"^starlette\.(requests\.ClientDisconnect|websockets\.WebSocketDisconnect)", re.MULTILINE)
# For `--log-config`: a JSON object on each line.
LOG_CONFIGURATION: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "threadserve.logging.JsonFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
}


@dataclass(frozen=True)
class Event:
    """A loop thread was made to die, a worker was killed, or all workers were replaced, in seconds since the epoch."""

    time: float
    kind: str


@dataclass(frozen=True)
class Failure:
    """Something went wrong for a client or in the log, in seconds since the epoch."""

    time: float
    who: str
    what: str

    def reason(self, events: list[Event]) -> str:
        """Return the kind of death that it came just after and may have come of, or ""."""
        near = (one for one in events if -EXACTNESS_SECONDS <= self.time - one.time <= CONSEQUENCES_SECONDS)
        return next((one.kind for one in near if one.kind != RENEWAL and CONSEQUENCES.match(self.what)), "")


def logged(log: str) -> Iterator[Failure]:
    """Yield the errors in the server's log, and what was printed past the logging, with lines that follow in one."""
    time = 0.0
    for is_record, lines in groupby(filter(None, log.splitlines()), lambda line: line.startswith("{")):
        for told in map(json.loads, lines if is_record else ()):
            time = datetime.fromisoformat(told["time"]).timestamp()
            text = "\n".join(filter(None, (told["message"], told["exception"])))
            if told["level"] in ("ERROR", "CRITICAL") and not CLIENT_GONE.search(text):
                yield Failure(time, "log", text)
        if not is_record:
            yield Failure(time, "log", "\n".join(lines))
