"""The report of a check, formatted for people or for programs.

Runs on the thread that reports. It owns nothing and prints nothing itself.
"""

import json
import os
import platform
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from threadserve.check.capacity import Capacity
from threadserve.check.findings import Finding, Level, SourceLocation
from threadserve.logging.wording import format_count
from threadserve.runtime.gil import is_free_threaded_build

# Raised when the JSON changes so that programs that read it must change too.
JSON_VERSION = 1
INDENT = "    "


@dataclass(frozen=True)
class CheckReport:
    """The findings on an application, and in `would_run` the numbers of processes and threads."""

    app: str
    findings: list[Finding]
    would_run: Capacity

    @property
    def is_ok(self) -> bool:
        """True if nothing breaks."""
        return not any(finding.level is Level.BREAK for finding in self.findings)

    def format_text(self) -> str:
        """Return a paragraph for each finding, the worst first, and a last line with their counts."""
        order = list(Level)
        findings = sorted(self.findings, key=lambda finding: order.index(finding.level))
        return "\n".join(
            [*map(format_finding, findings), f"{self.app} on {describe_interpreter()}: {self._format_counts()}"]
        )

    def format_json(self) -> str:
        """Return the report as a JSON object on one line."""
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
                        "file": finding.location.file if finding.location else None,
                        "line": finding.location.line if finding.location else None,
                        "remedy": finding.remedy,
                    }
                    for finding in self.findings
                ],
                "would_run": self.would_run,
                "ok": self.is_ok,
            }
        )

    def _format_counts(self) -> str:
        counts = Counter(finding.level for finding in self.findings)
        breaks, warnings, notes = (counts[level] for level in Level)
        breaking = f"{format_count(breaks, 'thing')} {'breaks' if breaks == 1 else 'break'}"
        verdict = "nothing breaks" if self.is_ok else breaking
        return f"{verdict}, {format_count(warnings, 'warning')}, {format_count(notes, 'note')}."


def format_finding(finding: Finding) -> str:
    """Return a finding in a line, after its location if it has one, with the remedy below."""
    where = f"{format_location(finding.location)}: " if finding.location else ""
    first, *others = finding.message.splitlines()
    lines = [f"{where}{finding.level.value}: {first} [{finding.code}]"]
    lines += [f"{INDENT}{line}" for line in (*others, *filter(None, [finding.remedy]))]
    return "\n".join(lines)


def format_location(place: SourceLocation) -> str:
    """Return a location as editors read it, relative to the working directory if it is below that."""
    path = Path(place.file)
    file = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else place.file
    return file if place.line is None else f"{file}:{place.line}"


def describe_interpreter() -> str:
    """Return the interpreter's name, version and build."""
    build = "free-threaded" if is_free_threaded_build() else "with the GIL"
    return f"{platform.python_implementation()} {platform.python_version()} ({build})"
