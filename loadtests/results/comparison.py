"""What a comparison has measured, and how it is kept: the one source of every report."""

from dataclasses import dataclass, field
from typing import Any

from loadtests.generators.result import LoadResult


@dataclass(frozen=True)
class Usage:
    """What all processes of a server used while it was under load.

    CPU time in seconds; threads and processes at their most; memory in MB at the end (PSS shares out what processes
    have in common, USS leaves it out, RSS counts it for each).
    """

    cpu_seconds: float
    threads: int
    processes: int
    pss_mb: float
    uss_mb: float
    rss_mb: float


@dataclass(frozen=True)
class Sample:
    """One server in one scenario, with so many threads (or workers), in one round.

    `server` is the name without the number of threads, such as "Uvicorn on 3.13". `problems` make the sample doubtful,
    one line each.
    """

    scenario: str
    server: str
    threads: int
    round: int
    command: list[str]
    load: LoadResult
    usage: Usage
    problems: list[str] = field(default_factory=list)


@dataclass
class Results:
    """A whole comparison. `facts` are as JSON takes them: date, commit, machine, interpreters with versions, options.

    `scenarios` has a title for each name, in the order of the report; `left_out` says in one line each what was not
    measured and why.
    """

    facts: dict[str, Any]
    scenarios: dict[str, str]
    left_out: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
