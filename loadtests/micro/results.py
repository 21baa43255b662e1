"""The results of micro-benchmarks: their file, their changes and their tables."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from loadtests.errors import LoadTestError
from loadtests.micro.all import BENCHMARKS
from loadtests.results.files import read_results, replace_text

FORMAT = "loadtests-micro-2"
# What these benchmarks can tell from noise.
TOLERANCE = 0.03

# Of each subject and benchmark what each process has measured.
Measured = dict[str, dict[str, list[float]]]


@dataclass
class Results:
    """All of one run: CPU microseconds of an operation, and switches between threads in one.

    `facts` are as JSON takes them: date, commit, machine, interpreters, options.
    """

    facts: dict[str, Any]
    costs: Measured = field(default_factory=dict)
    switches: Measured = field(default_factory=dict)

    def add(self, subject: str, benchmark: str, microseconds: float, switches: float) -> None:
        """Add what one process has measured."""
        self.costs.setdefault(subject, {}).setdefault(benchmark, []).append(microseconds)
        self.switches.setdefault(subject, {}).setdefault(benchmark, []).append(switches)


def write(path: Path, results: Results) -> None:
    """Write all of it, replacing at once what the file said before; raise LoadTestError where that cannot be done."""
    try:
        replace_text(path, json.dumps({"format": FORMAT, **vars(results)}, indent=1) + "\n")
    except OSError as error:
        raise LoadTestError(f"{path} cannot be written: {error.strerror}") from None


def read(path: Path) -> Results:
    """Read what `write` has written; raise LoadTestError for anything else."""
    return read_results(path, "micro", FORMAT, lambda told: Results(told["facts"], told["costs"], told["switches"]))


def quicker_half(costs: list[float]) -> tuple[float, float]:
    """Return the lower quartile and the median; of a single process what it measured.

    The quartile is what an operation costs: other processes on the machine only make an operation slower, but a single
    process may have its memory laid out so well that the least is as much of an accident.
    """
    low, middle, _ = quantiles(costs, n=4, method="inclusive") if len(costs) > 1 else costs * 3
    return low, middle


def verdict(before: list[float], now: list[float]) -> str:
    """Return "slower", "quicker", or "" for a small change, or where the quicker halves of the processes overlap."""
    (before_low, before_middle), (low, middle) = quicker_half(before), quicker_half(now)
    if abs(low / before_low - 1) < TOLERANCE or (low <= before_middle and middle >= before_low):
        return ""
    return "slower" if low > before_low else "quicker"


def measured(results: Results) -> str:
    """Return the table of each operation's costs, and of the switches between threads where there are any."""
    columns = [f"{subject}: µs{what}" for subject in results.costs for what in ("", ", switches")]
    names = dict.fromkeys(name for costs in results.costs.values() for name in costs)
    rows = [["benchmark", *columns, "operation"]]
    for name in names:
        row = [name]
        for subject, costs in results.costs.items():
            switches = median(results.switches[subject].get(name, [0.0]))
            cost = f"{quicker_half(costs[name])[0]:.2f}" if name in costs else ""
            row += [cost, f"{switches:.2f}" if switches else ""]
        rows.append([*row, BENCHMARKS[name].title])
    return table(rows)


def changed(before: dict[str, list[float]], now: dict[str, list[float]]) -> str:
    """Return the table of before, now and their ratio, with what is beyond the noise marked, of what both have."""
    rows = [["benchmark", "before: µs", "now: µs", "ratio", ""]]
    for name in filter(before.__contains__, now):
        old, new = quicker_half(before[name])[0], quicker_half(now[name])[0]
        rows.append([name, f"{old:.2f}", f"{new:.2f}", f"{new / old:.3f}", verdict(before[name], now[name])])
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown whose columns stand below each other, of a head and rows."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [rows[0], ["-" * max(3, width) for width in widths], *rows[1:]]
    return "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines)
