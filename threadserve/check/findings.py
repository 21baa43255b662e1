"""What a check has found, as it is passed from the process that looked to the one that reports it.

Made on whichever thread finds something. Values only: they own nothing, and never change.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How bad a finding is: it breaks, it may or it costs something, or it is good to know."""

    BREAK = "break"
    WARN = "warn"
    NOTE = "note"


class SourceLocation(NamedTuple):
    """A line of a file, or None where no line is known."""

    file: str
    line: int | None


@dataclass(frozen=True)
class Finding:
    """One thing to know. `code` is its kind's name for programs, and `remedy` what to do about it, if anything."""

    level: Level
    code: str
    message: str
    remedy: str = ""
    place: SourceLocation | None = None
