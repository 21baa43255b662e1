"""Medians, spreads and ratios made of the samples of a comparison."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from loadtests.results.medians import Spread, spread
from loadtests.results.record import Results, Sample

OURS = "threadserve"


@dataclass(frozen=True)
class Case:
    """One server in one scenario with so many threads or workers: a sample for each round, at least one."""

    scenario: str
    server: str
    threads: int
    samples: tuple[Sample, ...]

    def __str__(self) -> str:
        return f"{self.scenario}, {self.samples[0]}"

    def spread(self, value: str) -> Spread | None:
        """Return the spread of a value over the rounds; None where no round has it, because nothing was answered."""
        known = [sample.values[value] for sample in self.samples if value in sample.values]
        return spread(known) if known else None

    def median(self, value: str) -> float:
        """Return the median of a value over the rounds, 0 where none has it."""
        found = self.spread(value)
        return found.median if found else 0.0


class Summary:
    """The cases of a comparison: in the scenarios' order, then the servers' (threadserve first), then by threads.

    `scenarios` has the titles of those with at least one sample, `servers` the names of all that were measured.
    Figures with a target are not among them.
    """

    def __init__(self, results: Results) -> None:
        samples = [sample for sample in results.samples if sample.measurement not in results.targets]
        measured = dict.fromkeys(sample.measurement for sample in samples)
        order = list(dict.fromkeys([*(name for name in results.titles if name in measured), *measured]))
        self.scenarios = {name: results.title(name) for name in order}
        seen = dict.fromkeys(sample.server for sample in samples)
        self.servers = sorted(seen, key=lambda server: not is_ours(server))

        def place(sample: Sample) -> tuple[int, int, int]:
            return order.index(sample.measurement), self.servers.index(sample.server), sample.threads

        self.cases = [
            Case(first.measurement, first.server, first.threads, (first, *others))
            for _, (first, *others) in groupby(sorted(samples, key=place), key=place)
        ]

    def of(self, scenario: str) -> list[Case]:
        """Return all cases of a scenario."""
        return [case for case in self.cases if case.scenario == scenario]

    def leading(self, scenario: str) -> list[Case]:
        """Return each server's case with the most threads or workers, where a plot shows one only."""
        return list({case.server: case for case in self.of(scenario)}.values())

    def ratio(self, case: Case, value: str) -> float | None:
        """Return how many times the median of the scenario's first threadserve a case has; None without one.

        That is the one with as many threads, or else its most.
        """
        ours = [other for other in self.of(case.scenario) if is_ours(other.server)]
        first = [other for other in ours if other.server == ours[0].server]
        reference = next((other for other in first if other.threads == case.threads), first[-1] if first else None)
        return case.median(value) / reference.median(value) if reference and reference.median(value) else None

    def is_best(self, case: Case, value: str, best: Callable[[Iterable[float]], float]) -> bool:
        """Return whether no other server of the scenario has a better median with as many threads, if there is one."""
        peers = [other for other in self.of(case.scenario) if other.threads == case.threads]
        medians = [found.median for other in peers if (found := other.spread(value))]
        return case.spread(value) is not None and len(medians) > 1 and case.median(value) == best(medians)


def is_ours(server: str) -> bool:
    """Return whether a name is that of threadserve, on whatever interpreter and with whatever options."""
    return server.startswith(OURS)


def label(case: Case, cases: Sequence[Case]) -> str:
    """Return the server's name, with the number of threads where these cases have different ones."""
    return f"{case.server} ({case.threads})" if len({other.threads for other in cases}) > 1 else case.server
