"""Numbers, lists and times as the log words them. Runs on whichever thread logs; keeps nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime

MAX_NAMES = 10


def format_count(count: float, noun: str, plural: str = "") -> str:
    """Return a number with its noun, whose plural ends with "s" unless it is given."""
    number = f"{count:g}" if isinstance(count, float) else f"{count}"
    return f"{number} {noun}" if count == 1 else f"{number} {plural or noun + 's'}"


def join_names(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    more = [f"and {len(names) - MAX_NAMES} more"] if len(names) > MAX_NAMES else []
    return ", ".join([*names[:MAX_NAMES], *more])


def format_utc_time(seconds: float) -> str:
    """Return a time, in seconds of the epoch, in UTC as ISO 8601 has it, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
