"""Which failures and log entries follow from what was done on purpose."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from loadtests.soak.events import Event, Failure, cause_of
from loadtests.soak.serverlog import Entry

DEAD_THREAD = re.compile(r"Loop thread (\d+) died\.")
DEAD_WORKER = re.compile(r"Child process \[(\d+)\] died: killed by SIGKILL")
CUT_OFF = re.compile(r"Cut off \d+ requests? at once: ")
# What `loadtests.apps.soak` makes a thread die of.
LAST_WORDS = "made to die"
# How frameworks tell an application that its client has gone in the middle of a request.
CLIENT_GONE = re.compile(r"^starlette\.(requests\.ClientDisconnect|websockets\.WebSocketDisconnect)", re.MULTILINE)
VANISHED = "a client vanished on purpose"


@dataclass
class Judged:
    """Failures by whether anything explains them; what is explained is counted by its explanation."""

    explained: dict[str, int] = field(default_factory=dict)
    unexplained: list[Failure] = field(default_factory=list)


def judge(failures: Sequence[Failure], entries: Sequence[Entry], events: Sequence[Event]) -> Judged:
    """Looks for the cause of each failure, and of each serious entry in the log."""
    judged = Judged()
    for failure in failures:
        event = cause_of(failure, events)
        note(judged, failure, f"{kind_of(event)}: a client was cut off" if event is not None else "")
    for entry in entries:
        if entry.is_serious:
            note(judged, Failure(entry.time, "log", entry.text), reason_of(entry, events))
    return judged


def note(judged: Judged, failure: Failure, reason: str) -> None:
    if reason:
        judged.explained[reason] = judged.explained.get(reason, 0) + 1
    else:
        judged.unexplained.append(failure)


def kind_of(event: Event) -> str:
    return "a worker was killed" if event.kind == "worker" else "a thread was made to die"


def reason_of(entry: Entry, events: Sequence[Event]) -> str:
    """Why there is this entry in the log, or ""."""
    if (dead := DEAD_THREAD.match(entry.text)) is not None and LAST_WORDS in entry.text:
        # A lone loop runs on the main thread.
        names = (f"threadserve-{dead[1]}", "MainThread")
        return next(filter(None, (logged(entry, f"{entry.pid} {name}", events) for name in names)), "")
    if (dead := DEAD_WORKER.match(entry.text)) is not None:
        return logged(entry, dead[1], events)
    if CUT_OFF.match(entry.text) is not None:
        return logged(entry, f"{entry.pid} {entry.thread}", events)
    return VANISHED if CLIENT_GONE.search(entry.text) else ""


def logged(entry: Entry, who: str, events: Sequence[Event]) -> str:
    event = cause_of(Failure(entry.time, "log", entry.text, who), events)
    return f"{kind_of(event)}: the log says so" if event is not None else ""
