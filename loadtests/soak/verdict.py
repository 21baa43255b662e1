"""What a soak has shown: the findings, the table, and the file with everything."""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loadtests.results.files import replace_text
from loadtests.soak.events import Event
from loadtests.soak.explaining import Judged
from loadtests.soak.flatness import Trend
from loadtests.soak.load import Load
from loadtests.soak.sampling import Sample

# How much of an example is shown.
SHOWN = 160


@dataclass
class Verdict:
    """Everything that a soak has shown. `problems` are what went wrong with the server as a whole, one line each."""

    events: list[Event]
    samples: list[Sample]
    load: Load
    judged: Judged
    trends: list[Trend]
    problems: list[str]
    was_interrupted: bool = False

    @property
    def findings(self) -> list[str]:
        """What should not be, one line each; nothing where the server is fine."""
        return [
            *self.problems,
            *(f"{count} × unexplained: {what}" for what, count in self._unexplained().items()),
            *(f"the {trend.unit} of {trend.role}s grow" for trend in self.trends if not trend.is_flat),
            *([] if self.trends or self.was_interrupted else ["too little was seen to tell whether anything grows"]),
        ]

    def _unexplained(self) -> Counter[str]:
        return Counter(f"{failure.who}: {shortened(failure.what)}" for failure in self.judged.unexplained)


def shortened(text: str) -> str:
    """The first and the last line of a text, so that a traceback shows what it is of."""
    lines = text.strip().splitlines() or [""]
    whole = lines[0] if len(lines) == 1 else f"{lines[0]} … {lines[-1]}"
    return whole if len(whole) <= SHOWN else f"{whole[:SHOWN]}…"


def table(verdict: Verdict) -> str:
    """The verdict to be read."""
    done = Counter(event.kind for event in verdict.events)
    lines = [
        f"answered: {sum(verdict.load.requests.values()):,} requests and messages of well-behaved clients",
        f"misdeeds: {sum(verdict.load.misdeeds.values()):,} by clients that vanish, stall and reset",
        f"deaths: {done['thread']} threads, {done['worker']} workers; {done['renewal']} times SIGHUP",
        *(f"explained: {count} × {reason}" for reason, count in sorted(verdict.judged.explained.items())),
        "",
        *trend_lines(verdict.trends),
        "",
        *(f"FINDING: {finding}" for finding in verdict.findings),
    ]
    clean = "interrupted" if verdict.was_interrupted else "clean: no error that is not explained, nothing grows"
    return "\n".join([*lines, *([] if verdict.findings else [clean])])


def trend_lines(trends: list[Trend]) -> list[str]:
    """Nothing where too little was seen for a comparison."""
    if not trends:
        return []
    head = f"{'':12}{'':14}{'first third':>12}{'last third':>12}{'at most':>10}"
    return [head, *map(trend_line, trends)]


def trend_line(trend: Trend) -> str:
    numbers = f"{trend.first:12.1f}{trend.last:12.1f}{trend.most:10.1f}"
    return f"{trend.role:12}{trend.unit:14}{numbers}  {'flat' if trend.is_flat else 'GROWS'}"


def write_json(path: Path, facts: dict[str, Any], verdict: Verdict) -> None:
    """Everything, replacing what the file said before."""
    replace_text(path, json.dumps({**facts, "findings": verdict.findings, **asdict(verdict)}, indent=1) + "\n")
