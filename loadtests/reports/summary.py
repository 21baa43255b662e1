"""Medians, spreads and ratios made of the samples of a comparison."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from loadtests.results.comparison import Results, Sample
from loadtests.results.medians import Spread, spread

OURS = "threadserve"


@dataclass(frozen=True)
class Case:
    """One server in one scenario with so many threads or workers: a sample for each round, at least one."""

    scenario: str
    server: str
    threads: int
    samples: tuple[Sample, ...]

    @property
    def requests_per_second(self) -> Spread:
        """Over the rounds."""
        return spread([sample.load.requests_per_second for sample in self.samples])

    def percentile(self, rank: str) -> Spread | None:
        """Milliseconds; None where no round has that rank, because nothing was answered."""
        return spread_of(sample.load.percentiles.get(rank) for sample in self.samples)

    @property
    def cpu_milliseconds(self) -> Spread | None:
        """CPU time of the server for each request; None where nothing was answered."""
        return spread_of(map(cpu_milliseconds, self.samples))

    @property
    def pss_mb(self) -> Spread:
        """Of the whole process tree."""
        return spread([sample.usage.pss_mb for sample in self.samples])

    @property
    def os_threads(self) -> Spread:
        """Of the whole process tree, at their most."""
        return spread([sample.usage.threads for sample in self.samples])

    @property
    def errors(self) -> dict[str, int]:
        """All rounds' together, by kind."""
        counts: Counter[str] = Counter()
        for sample in self.samples:
            counts.update(sample.load.errors)
        return dict(counts)


Value = Callable[[Case], Spread | None]


def cpu_milliseconds(sample: Sample) -> float | None:
    return 1000 * sample.usage.cpu_seconds / sample.load.requests if sample.load.requests else None


def spread_of(values: Iterable[float | None]) -> Spread | None:
    """The spread of those that are known; None where none is."""
    known = [value for value in values if value is not None]
    return spread(known) if known else None


def requests_per_second(case: Case) -> Spread:
    """The value that most plots and columns are about."""
    return case.requests_per_second


def p99(case: Case) -> Spread | None:
    """Latency in milliseconds that one request in a hundred exceeds."""
    return case.percentile("99")


class Summary:
    """The cases of a comparison: in the scenarios' order, then the servers' (threadserve first), then by threads.

    `scenarios` has the titles of those with at least one sample, `servers` the names of all that were measured.
    """

    def __init__(self, results: Results) -> None:
        measured = list(dict.fromkeys(sample.scenario for sample in results.samples))
        named = [name for name in results.scenarios if name in measured]
        unnamed = [name for name in measured if name not in results.scenarios]
        self.scenarios = {name: results.scenarios.get(name, name) for name in [*named, *unnamed]}
        seen = dict.fromkeys(sample.server for sample in results.samples)
        self.servers = sorted(seen, key=lambda server: not is_ours(server))
        self.cases = self._cases(results.samples)
        self.rounds = max((len(case.samples) for case in self.cases), default=0)

    def _cases(self, samples: list[Sample]) -> list[Case]:
        scenarios = list(self.scenarios)

        def place(sample: Sample) -> tuple[int, int, int]:
            return scenarios.index(sample.scenario), self.servers.index(sample.server), sample.threads

        return [
            Case(first.scenario, first.server, first.threads, (first, *others))
            for _, (first, *others) in groupby(sorted(samples, key=place), key=place)
        ]

    def of(self, scenario: str) -> list[Case]:
        """All cases of a scenario."""
        return [case for case in self.cases if case.scenario == scenario]

    def leading(self, scenario: str) -> list[Case]:
        """Each server's case with the most threads or workers, where plots and overviews show one only."""
        return list({case.server: case for case in self.of(scenario)}.values())

    def reference(self, case: Case) -> Case | None:
        """What `case` is compared with: its scenario's first threadserve, with as many threads or else its most."""
        ours = [other for other in self.of(case.scenario) if is_ours(other.server)]
        first = [other for other in ours if other.server == ours[0].server]
        return next((other for other in first if other.threads == case.threads), first[-1] if first else None)

    def ratio(self, case: Case, value: Value) -> float | None:
        """How many times threadserve's median a case has; None where there is nothing to divide."""
        reference = self.reference(case)
        ours, theirs = value(reference) if reference else None, value(case)
        return theirs.median / ours.median if ours and theirs and ours.median else None

    def is_best(self, case: Case, value: Value, best: Callable[[Iterable[float]], float]) -> bool:
        """Whether no other server of the scenario has a better median with as many threads; False where it is alone."""
        peers = [other for other in self.of(case.scenario) if other.threads == case.threads]
        medians = [found.median for other in peers if (found := value(other))]
        own = value(case)
        return own is not None and len(medians) > 1 and own.median == best(medians)


def is_ours(server: str) -> bool:
    """Whether a name is that of threadserve, on whatever interpreter and with whatever options."""
    return server.startswith(OURS)


def threads_differ(cases: Iterable[Case]) -> bool:
    """Whether the numbers of threads have to be told, because they are not all the same."""
    return len({case.threads for case in cases}) > 1


def label(case: Case, cases: Iterable[Case]) -> str:
    """The server's name, with the number of threads where these cases have different ones."""
    return f"{case.server} ({case.threads})" if threads_differ(cases) else case.server


def counted_threads(number: int) -> str:
    """So many threads, or worker processes where a server has those."""
    return f"{number} threads or workers" if number > 1 else "1 thread or worker"


def shared_threads(cases: Sequence[Case]) -> str:
    """What to say once of cases with as many threads; "" where `label` says it of each."""
    return "" if threads_differ(cases) else f"with {counted_threads(cases[0].threads)}"
