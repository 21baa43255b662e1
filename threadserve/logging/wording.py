"""How the log puts things. Runs on whichever thread logs; keeps nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime

LONGEST_LIST = 10


def counted(count: float, noun: str, plural: str = "") -> str:
    """A number with its noun, whose plural ends with "s" unless it is given."""
    number = f"{count:g}" if isinstance(count, float) else f"{count}"
    return f"{number} {noun}" if count == 1 else f"{number} {plural or noun + 's'}"


def listed(items: Sequence[str]) -> str:
    """The first of some items, and how many more there are."""
    more = [f"and {len(items) - LONGEST_LIST} more"] if len(items) > LONGEST_LIST else []
    return ", ".join([*items[:LONGEST_LIST], *more])


def utc_time(seconds: float) -> str:
    """A time, in seconds of the epoch, in UTC as ISO 8601 has it, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
