"""The findings of a check, passed from the inspected process to the one that reports.

Values that any thread may create, and that never change.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """The severity of a finding: it breaks the application, it may or it costs something, or it is good to know."""

    BREAK = "break"
    WARN = "warn"
    NOTE = "note"


class SourceLocation(NamedTuple):
    """A line of a file, or None if no line is known."""

    file: str
    line: int | None


@dataclass(frozen=True)
class Finding:
    """A finding. `code` names its kind for programs; `remedy` says what to do about it, if anything."""

    level: Level
    code: str
    message: str
    remedy: str = ""
    location: SourceLocation | None = None
