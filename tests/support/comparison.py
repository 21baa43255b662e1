"""Samples of a comparison that nobody has measured, and the facts that go with them."""

from typing import Any

from loadtests.results import CPU, RATE, Sample

FACTS: dict[str, Any] = {
    "date": "2026-05-04T12:30:00+00:00",
    "commit": "abc1234",
    "machine": {"cpus": 2, "cpu": "Example 9000", "memory_mb": 16_000, "load_average_before": 0.1},
}


def sample(
    scenario: str,
    server: str,
    threads: int = 1,
    number: int = 1,
    *,
    rate: float = 100.0,
    p99: float = 9.0,
    errors: dict[str, int] | None = None,
    problems: list[str] | None = None,
) -> Sample:
    """One sample, of which everything that is not given is ordinary."""
    return Sample(
        scenario,
        server,
        threads,
        number,
        ["python", "-m", server, "app:app"],
        {
            RATE: rate,
            "p50 ms": 2.0,
            "p99 ms": p99,
            "p99.9 ms": 30.0,
            CPU: 450.0,
            "PSS MB": 50.0,
            "OS threads": threads + 1,
        },
        ["wrk", "--duration", "10s", "http://127.0.0.1:8000/"],
        errors or {},
        problems=problems or [],
    )
