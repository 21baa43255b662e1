"""The Markdown table of a run: of servers in scenarios, or of figures beside their targets; and what is doubtful."""

from collections.abc import Iterable, Iterator, Sequence
from math import inf

from loadtests.results import CPU, RATE, Results, Sample, Spread, Target, short, spread

OURS = "threadserve"
VALUES = ("p50 ms", "p99 ms", "p99.9 ms", CPU, "PSS MB", "OS threads")
MEDIAN = "median (least-greatest)"
RATES = f"{RATE}: {MEDIAN}"
COLUMNS = ("scenario", "server", "threads or workers", RATES, "ratio to threadserve", "errors", *VALUES)
TARGET_COLUMNS = ("figure", "value", "server", MEDIAN, "peer", MEDIAN, "ratio", "target", "reached")

# A measurement, a server, and its threads or workers.
Case = tuple[str, str, int]


def markdown(results: Results) -> str:
    """Return the table, and below it what is doubtful or missing, and when and where all of it was measured."""
    rows = table(TARGET_COLUMNS, target_rows(results)) if results.targets else table(COLUMNS, case_rows(results))
    notes = "\n".join(f"* {line}" for line in (*problems(results), *results.left_out))
    facts, machine = results.facts, results.facts["machine"]
    told = f"Measured {facts['date']} at commit {facts['commit']}, on {machine['cpus']} CPUs ({machine['cpu']})."
    return "\n\n".join(filter(None, (rows, notes, told))) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows))


def cases(results: Results) -> dict[Case, list[Sample]]:
    """Return the samples of each case, in the order in which they were measured."""
    found: dict[Case, list[Sample]] = {}
    for sample in results.samples:
        found.setdefault((sample.measurement, sample.server, sample.threads), []).append(sample)
    return found


def case_rows(results: Results) -> Iterator[list[str]]:
    """The rows of `COLUMNS`: medians, the rate beside that of threadserve with as many threads, which comes first."""
    ours: dict[tuple[str, int], Spread] = {}
    for (name, server, threads), samples in cases(results).items():
        rate = spread(samples, RATE)
        if server.startswith(OURS) and rate:
            ours[name, threads] = rate
        reference = ours.get((name, threads))
        ratio = f"{rate.median / reference.median:.2f}" if rate and reference else ""
        errors = sum(sum(sample.errors.values()) for sample in samples)
        medians = [short(told.median) if (told := spread(samples, value)) else "" for value in VALUES]
        yield [results.titles[name], server, str(threads), str(rate), ratio, f"{errors:,}", *medians]


def target_rows(results: Results) -> Iterator[list[str]]:
    """The rows of `TARGET_COLUMNS`: one for each value alone, and for each way of a peer that was measured."""
    for name, target, rows in judgements(results):
        yield from ([name, target.value, *cells] for cells in rows)


def judgements(results: Results) -> Iterator[tuple[str, Target, list[list[str]]]]:
    """Each target with its figure's name and its rows."""
    for name, targets in results.targets.items():
        measured = {server: samples for (figure, server, _), samples in cases(results).items() if figure == name}
        yield from ((name, target, list(rows_of(target, measured))) for target in targets)


def rows_of(target: Target, measured: dict[str, list[Sample]]) -> Iterator[list[str]]:
    """The cells of one target, which is about the best way of the peer: the one to which our ratio is the worst."""
    spreads = {server: told for server, samples in measured.items() if (told := spread(samples, target.value))}
    ours = spreads.get(target.ours)
    if ours is None:
        return
    if not target.peers:
        yield [target.ours, str(ours), "", "", "", *judged(target, ours.median, measured[target.ours])]
    medians = {peer: spreads[peer].median for peer in target.peers if peer in spreads}
    ratios = {peer: ours.median / theirs if theirs else inf for peer, theirs in medians.items()}
    worst = (min if target.bound == "at least" else max)(ratios.values(), default=0.0)
    for peer, ratio in ratios.items():
        samples = measured[target.ours] + measured[peer]
        verdict = judged(target, ratio, samples) if ratio == worst else ["", ""]
        yield [target.ours, str(ours), peer, str(spreads[peer]), f"{ratio:.2f}", *verdict]


def judged(target: Target, number: float, samples: Iterable[Sample]) -> list[str]:
    """Return the target, if there is one, and whether the number is as wanted: "spoilt" where samples are doubtful."""
    if target.wanted is None:
        return ["", ""]
    is_reached = number >= target.wanted if target.bound == "at least" else number <= target.wanted
    if is_reached and any(sample.errors or sample.problems for sample in samples):
        return [f"{target.bound} {target.wanted:g}", "spoilt"]
    return [f"{target.bound} {target.wanted:g}", "yes" if is_reached else "no"]


def problems(results: Results) -> list[str]:
    """Return what makes samples doubtful, one line each; where there are targets, errors are among it."""
    lines = []
    for sample in results.samples:
        errors = sample.errors if results.targets else {}
        told = [*sample.problems, *(f"{count} errors: {kind}" for kind, count in errors.items())]
        lines += [f"{sample.measurement}: {sample.server}, round {sample.round}: {what}" for what in told]
    return lines


def all_reached(results: Results) -> bool:
    """Return whether every figure is complete, without problems, and reaches its targets against every peer's best."""
    is_complete = {sample.measurement for sample in results.samples} >= set(results.targets)
    is_clean = not results.left_out and not problems(results)
    verdicts = [{cells[-1] for cells in rows} for _, target, rows in judgements(results) if target.wanted is not None]
    return is_complete and is_clean and all(found - {""} == {"yes"} for found in verdicts)
