"""Results of a comparison that nobody has measured: as realistic as a report needs them, and the same every time."""

import math
import random
from collections.abc import Sequence
from typing import Any

from loadtests.generators.result import RANKS
from loadtests.results.record import CPU, RATE, Results, Sample

TITLES = {"hello": "Hello world over ASGI, without pauses", "mixed": "Quick requests, while one in a hundred blocks"}
# Requests per second of one thread, what two threads make of it, milliseconds of the median, and MB of one thread and
# of each further one.
SERVERS = {
    "threadserve on 3.13t": (11_000, 1.8, 2.2, 45, 4),
    "Uvicorn on 3.13": (9_500, 1.7, 2.9, 40, 34),
    "Uvicorn on 3.13t": (8_000, 1.6, 3.3, 55, 48),
}
FACTS: dict[str, Any] = {
    "date": "2026-05-04T12:30:00+00:00",
    "commit": "abc1234",
    "machine": {"cpus": 2, "cpu": "Example 9000", "memory_mb": 16_000, "load_average_before": 0.1},
    "interpreters": {"3.13t": {"path": "/opt/3.13t/bin/python", "version": "3.13.5", "packages": {"uvloop": "0.23.0"}}},
    "load_generators": {"wrk": "wrk 4.1"},
    "options": {"duration": 10, "warm_up": 3, "users": 100, "connections": 64, "app": None, "path": None},
}


def comparison(scenarios: Sequence[str], threads: Sequence[int], rounds: int = 2) -> Results:
    """All servers in these scenarios; one round after the other."""
    chance = random.Random(6)
    results = Results(FACTS, {name: TITLES[name] for name in scenarios}, ["hello: Twisted on 3.13 is left out: no"])
    results.samples = [
        made(chance, scenario, server, count, number)
        for scenario in scenarios
        for number in range(1, rounds + 1)
        for server in SERVERS
        for count in threads
    ]
    return results


def made(chance: random.Random, scenario: str, server: str, threads: int, number: int) -> Sample:
    rate, gain, latency, memory, further = SERVERS[server]
    factor = (1 + 0.9 * (gain - 1) * math.log2(threads)) * chance.uniform(0.88, 1.08)
    times = sorted(latency * chance.lognormvariate(0, 0.5) for _ in range(400))
    return sample(
        scenario,
        server,
        threads,
        number,
        rate=rate * factor,
        percentiles={rank: times[round(float(rank) * 3.99)] for rank in RANKS},
        timeline=[(place / 200, taken) for place, taken in enumerate(times)] if scenario == "mixed" else [],
        pss_mb=memory + further * (threads - 1),
    )


def sample(
    scenario: str,
    server: str,
    threads: int = 1,
    number: int = 1,
    *,
    rate: float = 100.0,
    percentiles: dict[str, float] | None = None,
    timeline: list[tuple[float, float]] | None = None,
    pss_mb: float = 50.0,
    errors: dict[str, int] | None = None,
    problems: list[str] | None = None,
) -> Sample:
    """One sample, of which everything that is not given is ordinary."""
    told = {"50": 2.0, "99": 9.0, "99.9": 30.0, "100": 80.0} if percentiles is None else percentiles
    return Sample(
        scenario,
        server,
        threads,
        number,
        ["python", "-m", server, "app:app"],
        {
            RATE: rate,
            **{f"p{rank} ms": taken for rank, taken in told.items()},
            **({CPU: 450.0} if told else {}),
            "PSS MB": pss_mb,
            "OS threads": threads + 1,
        },
        ["wrk", "--duration", "10s", "http://127.0.0.1:8000/"],
        errors or {},
        timeline or [],
        problems=problems or [],
    )
