"""Events that are done to the server on purpose, and failures that follow from them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["thread", "worker", "renewal"]

# Within how many seconds after an event its consequences come, and how exactly the clocks of two processes agree.
CONSEQUENCES_SECONDS = 3.0
EXACTNESS_SECONDS = 0.1
REASONS: dict[Kind, str] = {"thread": "a thread was made to die", "worker": "a worker was killed"}


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


@dataclass(frozen=True)
class Event:
    """A loop thread was made to die, a worker was killed, or all workers were to be replaced (SIGHUP).

    In seconds since the epoch. `victim` is the process and the thread as `Failure.served_by` has them, or the process
    alone; `replaced` are the workers that are to go.
    """

    time: float
    kind: Kind
    victim: str = ""
    replaced: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{REASONS[self.kind]}: {self.victim}" if self.victim else "all workers are to be replaced (SIGHUP)"

    def explains(self, failure: Failure) -> bool:
        """Return whether a failure came just after it, and on what it ended or where that is not known."""
        is_near = -EXACTNESS_SECONDS <= failure.time - self.time <= CONSEQUENCES_SECONDS
        is_hit = failure.served_by in ("", self.victim) or failure.served_by.partition(" ")[0] == self.victim
        return failure.is_cut_off and bool(self.victim) and is_near and is_hit


def reason_of(failure: Failure, events: Iterable[Event]) -> str:
    """Return what explains a failure, or ""."""
    return next((REASONS[event.kind] for event in events if event.explains(failure)), "")
