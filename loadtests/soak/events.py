"""What is done to the server on purpose, and what went wrong because of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["thread", "worker", "renewal"]

# Within how many seconds after an event its consequences come, and how exactly the clocks of two processes agree.
CONSEQUENCES = 3.0
EXACTNESS = 0.1


@dataclass(frozen=True)
class Event:
    """A loop thread was made to die, a worker was killed, or all workers were to be replaced (SIGHUP).

    In seconds since the epoch. `pid` is the worker's, or the supervisor's for a renewal; `thread` is the thread's name,
    and `replaced` are the workers that are to go.
    """

    time: float
    kind: Kind
    pid: int
    thread: str = ""
    replaced: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.kind == "thread":
            return f"{self.thread} of worker {self.pid} is made to die"
        return f"worker {self.pid} is killed" if self.kind == "worker" else "all workers are to be replaced (SIGHUP)"

    def ends(self, pid: int, thread: str) -> bool:
        """Whether this ends that thread."""
        return self.pid == pid and (self.kind == "worker" or (self.kind == "thread" and self.thread == thread))


@dataclass(frozen=True)
class Failure:
    """Something went wrong for a client or in the log, in seconds since the epoch.

    `served_by` is the process and the thread that it happened on, as in "4711 threadserve-2", or "" if that is unknown.
    `is_cut_off` tells that a connection or a call ended before it should, which a death explains and nothing else.
    """

    time: float
    who: str
    what: str
    served_by: str = ""
    is_cut_off: bool = True


def cause_of(failure: Failure, events: Sequence[Event]) -> Event | None:
    """The event that explains a failure, or None.

    It came just before the failure, and befell the very thread that served, or any where that is not known.
    """
    if not failure.is_cut_off:
        return None
    near = (event for event in events if -EXACTNESS <= failure.time - event.time <= CONSEQUENCES)
    return next((event for event in near if hits(event, failure)), None)


def hits(event: Event, failure: Failure) -> bool:
    """Whether an event befell what served."""
    if event.kind == "renewal":
        return False
    if not failure.served_by:
        return True
    pid, _, thread = failure.served_by.partition(" ")
    return event.ends(int(pid), thread)
