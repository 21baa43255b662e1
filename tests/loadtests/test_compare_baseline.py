"""What became slower since an earlier comparison."""

from typing import Any

import pytest
from support.comparison import FACTS, sample

from loadtests.comparing import baseline
from loadtests.results.record import Results

OURS = "threadserve on 3.13t"


def results(*rates: float, p99: float = 9.0, server: str = OURS, **facts: Any) -> Results:
    """One server with a round for each rate; facts are replaced as they are given."""
    samples = [
        sample("hello", server, 2, number, rate=rate, percentiles={"50": 2.0, "99": p99})
        for number, rate in enumerate(rates, start=1)
    ]
    return Results({**FACTS, **facts}, {"hello": "Hello"}, [], samples)


def verdicts(before: Results, now: Results) -> dict[str, str]:
    return {change.value: change.verdict for change in baseline.changes(before, now)}


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [
        ((1000, 1010, 1020), (900, 910, 920), "slower"),
        ((900, 910, 920), (1000, 1010, 1020), "faster"),
        ((1000, 1010, 1020), (900, 910, 1000), "within noise"),
        ((1000, 1010, 1020), (980, 990, 999), "within noise"),
        ((1000, 1010, 1020), (1000, 1010, 1020), "within noise"),
    ],
)
def test_a_rate_is_slower_when_it_is_less_and_the_rounds_do_not_overlap(
    before: tuple[float, ...], now: tuple[float, ...], verdict: str
) -> None:
    assert verdicts(results(*before), results(*now))["requests/s"] == verdict


def test_a_latency_is_slower_when_it_is_more() -> None:
    assert verdicts(results(10, p99=9.0), results(10, p99=12.0)) == {
        "requests/s": "within noise",
        "p50 ms": "within noise",
        "p99 ms": "slower",
        "CPU µs per request": "within noise",
    }
    assert verdicts(results(10, p99=12.0), results(10, p99=9.0))["p99 ms"] == "faster"


def test_the_report_names_what_changed_with_both_figures() -> None:
    text = baseline.report(results(1000, 1010, 1020), results(900, 910, 920), "before.json")
    slower = text.partition("Slower than in before.json:\n")[2].partition("\n\n")[0]
    assert (
        "* hello, threadserve on 3.13t, --threads 2, requests/s: 910.0 (900.0-920.0), before 1,010 (1,000-1,020), -10%"
        in slower.splitlines()
    )
    assert "Faster than in before.json:\n* nothing" in text
    assert "Within noise:\n* hello, threadserve on 3.13t, --threads 2, p50 ms: 2.0 (2.0-2.0), before 2.0" in text
    assert "Hard to compare" not in text


def test_what_was_not_measured_before_is_named() -> None:
    text = baseline.report(results(1, 1, 1), results(1, 1, 1, server="Uvicorn on 3.13"), "before.json")
    assert "Slower than in before.json:\n* nothing" in text
    assert text.endswith("Not measured before:\n* hello, Uvicorn on 3.13, --threads 2")


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        (
            {"machine": {"cpu": "Other", "cpus": 2, "memory_mb": 16_000}},
            "machine cpu differs: Other now, Example 9000 before",
        ),
        (
            {"interpreters": {"3.13t": {"version": "3.13.9", "packages": {"uvloop": "0.23.0"}}}},
            "interpreters 3.13t version differs: 3.13.9 now, 3.13.5 before",
        ),
        (
            {"interpreters": {"3.13t": {"version": "3.13.5", "packages": {}}}},
            "interpreters 3.13t packages uvloop differs: none now, 0.23.0 before",
        ),
        ({"load_generators": {"h2load": "1.5"}}, "load_generators wrk differs: none now, wrk 4.1 before"),
        (
            {"options": {"duration": 5, "warm_up": 3, "users": 100, "connections": 64, "app": None, "path": None}},
            "options --duration differs: 5 now, 10 before",
        ),
    ],
)
def test_other_conditions_are_told(facts: dict[str, Any], line: str) -> None:
    assert line in baseline.doubts(results(1, 1, 1), results(1, 1, 1, **facts))


def test_another_version_of_threadserve_is_what_it_is_about() -> None:
    packages = {"uvloop": "0.23.0", "threadserve": "0.2.0"}
    now = results(1, 1, 1, interpreters={"3.13t": {"version": "3.13.5", "packages": packages}})
    assert baseline.doubts(results(1, 1, 1), now) == []


def test_too_few_rounds_are_told() -> None:
    (line,) = baseline.doubts(results(1, 1, 1), results(1, 1))
    assert line == "some cases have fewer than 3 rounds, which is too few to know the noise"
