"""Results of comparisons that nobody has measured: as realistic as a report needs them, and the same every time."""

import math
import random
from collections.abc import Iterable, Sequence

from loadtests.generators.result import LoadResult, percentiles_of
from loadtests.results.comparison import Results, Sample, Usage

ASGI = ("hello", "json", "browser", "transfers", "events", "chat", "mixed")
TITLES = {
    "hello": "Hello world over ASGI, without pauses",
    "hello-wsgi": "Hello world over WSGI, without pauses",
    "json": "JSON API with think time",
    "browser": "Pages with their assets, as browsers ask",
    "transfers": "Uploads, downloads and streams",
    "events": "Server-sent events",
    "chat": "WebSocket chat",
    "mixed": "Quick requests while one per cent hold their thread for 0.5 s (latencies of the quick ones)",
    "flask": "Flask site with sessions",
    "django": "Django site with sessions",
}
# Requests per second of one thread, what two threads make of it, milliseconds of the median, and MB of one thread and
# of each further one.
ASGI_SERVERS = {
    "threadserve on 3.13t": (11_000, 1.8, 2.2, 45, 4),
    "Uvicorn on 3.13": (9_500, 1.7, 2.9, 40, 34),
    "Granian on 3.13": (15_500, 1.5, 1.9, 38, 30),
    "Hypercorn on 3.13": (3_100, 1.8, 9.5, 44, 37),
    "Daphne (1 process) on 3.13": (1_900, 1.0, 15.0, 60, 0),
    "Gunicorn ASGI on 3.13": (8_100, 1.7, 3.2, 46, 36),
    "Granian on 3.13t": (12_500, 1.7, 2.3, 55, 12),
    "Uvicorn on 3.13t": (8_000, 1.6, 3.3, 55, 48),
}
WSGI_SERVERS = {
    "threadserve on 3.13t": (9_000, 1.7, 2.8, 46, 5),
    "Granian on 3.13": (12_900, 1.4, 2.5, 39, 31),
    "Gunicorn gthread on 3.13": (2_700, 1.8, 11.0, 40, 25),
    "Waitress (1 process) on 3.13": (4_500, 1.0, 7.0, 42, 0),
    "Cheroot (1 process) on 3.13": (3_900, 1.0, 8.1, 40, 0),
}
FACTS = {
    "date": "2026-05-04T12:30:00+00:00",
    "commit": "abc1234",
    "machine": {"cpus": 2, "cpu": "Example 9000", "memory_mb": 16_000, "load_average_before": 0.1},
    "interpreters": {
        "3.13t": {"path": "/opt/3.13t/bin/python", "version": "3.13.5t", "packages": {"granian": "2.7.9"}},
        "3.13": {"path": "/opt/3.13/bin/python", "version": "3.13.0", "packages": {"uvicorn": "0.54.0"}},
    },
    "options": {"rounds": 3, "seconds": 10, "peers": ["uvicorn", "granian"]},
}


def comparison(
    scenarios: Sequence[str] = tuple(TITLES), threads: Sequence[int] = (1, 2, 4), rounds: int = 3, seconds: int = 10
) -> Results:
    """All servers in these scenarios; one round after the other."""
    chance = random.Random(6)
    results = Results(FACTS, {name: TITLES[name] for name in scenarios}, ["hello: Twisted on 3.13 is left out: no"])
    for scenario in scenarios:
        servers = ASGI_SERVERS if scenario in ASGI else WSGI_SERVERS
        for number in range(1, rounds + 1):
            for server, speed in servers.items():
                results.samples += [made(chance, scenario, server, count, number, seconds, speed) for count in threads]
    return results


def made(
    chance: random.Random,
    scenario: str,
    server: str,
    threads: int,
    number: int,
    seconds: int,
    speed: tuple[float, float, float, float, float],
) -> Sample:
    rate, gain, latency, memory, further = speed
    factor = 1 + 0.9 * (gain - 1) * math.log2(threads)
    busy = scenario.startswith("hello")
    answered = rate * factor * chance.uniform(0.88, 1.08) if busy else 400 * chance.uniform(0.97, 1.0)
    times = [latency * chance.lognormvariate(0, 0.5) * (20 if chance.random() < 0.01 else 1) for _ in range(2000)]
    timeline = list(blocked(chance, seconds, latency, threads)) if scenario == "mixed" else []
    return sample(
        scenario,
        server,
        threads,
        number,
        rate=answered,
        percentiles=percentiles_of([taken for _, taken in timeline] or times),
        timeline=timeline,
        pss_mb=(memory + further * (threads - 1)) * chance.uniform(0.99, 1.02),
        seconds=seconds,
    )


def blocked(chance: random.Random, seconds: int, latency: float, threads: int) -> Iterable[tuple[float, float]]:
    """Quick requests of which some wait behind one that holds its thread for half a second."""
    until = 0.0
    for number in range(seconds * 200):
        now = number / 200
        if chance.random() < 0.01:
            until = now + 0.5
        behind = now < until and chance.random() < 1 / (threads * 4)
        waited = (until - now) * 1000 if behind else 0.0
        yield now, waited + latency * chance.lognormvariate(0, 0.4)


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
    seconds: float = 10.0,
    errors: dict[str, int] | None = None,
    problems: list[str] | None = None,
) -> Sample:
    """One sample, of which everything that is not given is ordinary."""
    load = LoadResult(
        command=["wrk", "--duration", f"{seconds:g}s", "http://127.0.0.1:8000/"],
        requests=round(rate * seconds),
        seconds=seconds,
        percentiles={"50": 2.0, "99": 9.0, "99.9": 30.0, "100": 80.0} if percentiles is None else percentiles,
        errors=errors or {},
        timeline=timeline or [],
    )
    usage = Usage(0.9 * seconds, threads + 1, 1, pss_mb, 0.9 * pss_mb, 1.2 * pss_mb)
    return Sample(scenario, server, threads, number, ["python", "-m", server, "app:app"], load, usage, problems or [])
