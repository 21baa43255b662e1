"""The tables of what was measured, and of what has changed."""

from collections.abc import Iterable, Sequence

from loadtests.micro.all import TITLES
from loadtests.micro.changes import Change, cost
from loadtests.micro.results import Results


def measured(results: Results) -> str:
    """CPU microseconds of each operation, and the switches between threads where there are any."""
    subjects = results.subjects
    head = [
        "benchmark",
        *(f"{subject}: µs{extra}" for subject in subjects for extra in ("", ", switches")),
        "operation",
    ]
    rows = [
        [name, *(cell for subject in subjects for cell in cells(results, subject, name)), TITLES.get(name, "")]
        for name in results.benchmarks
    ]
    return table(head, rows)


def cells(results: Results, subject: str, benchmark: str) -> tuple[str, str]:
    costs = results.costs(subject, benchmark)
    if not costs:
        return "", ""
    switches = results.switches(subject, benchmark)
    return f"{cost(costs):.2f}", f"{switches:.2f}" if switches else ""


def changed(found: Iterable[Change], before: str, now: str) -> str:
    """Before, now and their ratio, with what is beyond the noise marked."""
    head = ["benchmark", f"{before}: µs", f"{now}: µs", "ratio", ""]
    rows = [
        [
            change.benchmark,
            f"{cost(change.before):.2f}",
            f"{cost(change.now):.2f}",
            f"{change.ratio:.3f}",
            change.verdict,
        ]
        for change in found
    ]
    return table(head, rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown whose columns stand below each other."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * max(3, width) for width in widths], *rows]
    return "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines)
