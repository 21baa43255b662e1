"""What a check has found, written for people or for programs.

Runs on whichever thread reports. It owns nothing and prints nothing itself.
"""

import json
import os
import platform
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadserve.check.findings import Finding, Level, SourceLocation
from threadserve.logging.wording import format_count
from threadserve.runtime.gil import is_free_threaded_build

JSON_VERSION = 1  # Of the JSON: another one where a program that reads it would have to change.
INDENT = "    "


@dataclass(frozen=True)
class CheckReport:
    """The findings on an application, and in `would_run` how many threads and processes there would be."""

    app: str
    findings: list[Finding]
    would_run: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether nothing breaks."""
        return not any(finding.level is Level.BREAK for finding in self.findings)

    def as_text(self) -> str:
        """A paragraph for each finding, the worst first, and a last line that counts them."""
        order = list(Level)
        findings = sorted(self.findings, key=lambda finding: order.index(finding.level))
        return "\n".join([*map(format_finding, findings), f"{self.app} on {describe_interpreter()}: {self._counted()}"])

    def as_json(self) -> str:
        """The same for programs, as an object on one line."""
        return json.dumps(
            {
                "version": JSON_VERSION,
                "app": self.app,
                "python": describe_interpreter(),
                "findings": [
                    {
                        "level": finding.level.value,
                        "code": finding.code,
                        "message": finding.message,
                        "file": finding.place.file if finding.place else None,
                        "line": finding.place.line if finding.place else None,
                        "remedy": finding.remedy,
                    }
                    for finding in self.findings
                ],
                "would_run": self.would_run,
                "ok": self.ok,
            }
        )

    def _counted(self) -> str:
        counts = Counter(finding.level for finding in self.findings)
        breaks, warnings, notes = (counts[level] for level in Level)
        verdict = (
            "nothing breaks" if self.ok else f"{format_count(breaks, 'thing')} {'breaks' if breaks == 1 else 'break'}"
        )
        return f"{verdict}, {format_count(warnings, 'warning')}, {format_count(notes, 'note')}."


def format_finding(finding: Finding) -> str:
    """A finding in a line, its file first if it has one, and its remedy below that."""
    where = f"{format_location(finding.place)}: " if finding.place else ""
    first, *others = finding.message.splitlines()
    lines = [f"{where}{finding.level.value}: {first} [{finding.code}]"]
    lines += [f"{INDENT}{line}" for line in (*others, *filter(None, [finding.remedy]))]
    return "\n".join(lines)


def format_location(place: SourceLocation) -> str:
    """A place as editors read it, from the working directory on where it lies below that."""
    path = Path(place.file)
    file = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else place.file
    return file if place.line is None else f"{file}:{place.line}"


def describe_interpreter() -> str:
    """The interpreter, its version and its build."""
    build = "free-threaded" if is_free_threaded_build() else "with the GIL"
    return f"{platform.python_implementation()} {platform.python_version()} ({build})"
