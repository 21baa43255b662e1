"""The tables of a run: of a comparison, of what changed since an earlier one, and of figures and their targets."""

from dataclasses import replace

import pytest
from support.comparison import FACTS, sample

from loadtests.comparing import baseline
from loadtests.results import CPU, RATE, Bound, Results, Sample, Target
from loadtests.table import all_reached, case_rows, markdown, target_rows


def rounds(server: str, *rates: float, threads: int = 1, p99: float = 9.0) -> list[Sample]:
    return [sample("hello", server, threads, number, rate=rate, p99=p99) for number, rate in enumerate(rates, start=1)]


def results_of(*samples: Sample) -> Results:
    return Results(FACTS, {"hello": "Hello world"}, ["Daphne is left out"], list(samples))


def test_a_row_has_medians_and_the_ratio() -> None:
    ours, theirs = case_rows(results_of(*rounds("threadserve", 2000, 1000, 9000), *rounds("Granian", 500, 400, 900)))
    rest = ["0", "2", "9", "30.0", "450.0", "50.0", "2"]
    assert ours == ["Hello world", "threadserve", "1", "2,000 (1,000-9,000)", "1.00", *rest]
    assert theirs == ["Hello world", "Granian", "1", "500.0 (400.0-900.0)", "0.25", *rest]


def test_ratios_are_to_the_first_threadserve_with_as_many_threads() -> None:
    ours = [*rounds("threadserve on 3.13t", 100), *rounds("threadserve on 3.13t", 200, threads=2)]
    theirs = [one for threads in (1, 2, 8) for one in rounds("Granian", 150, threads=threads)]
    assert [row[4] for row in case_rows(results_of(*ours, *theirs))] == ["1.00", "1.00", "1.50", "0.75", ""]


def test_values_that_nothing_has_are_empty_cells_beside_all_rounds_errors() -> None:
    dead = [replace(sample("hello", "Daphne", errors={"refused": 600}), values={RATE: 1.0}) for _ in range(2)]
    ((*_, errors, p50, _, _, cpu, _, _),) = case_rows(results_of(*dead))
    assert (errors, p50, cpu) == ("1,200", "", "")


def test_problems_what_is_missing_and_the_facts_stand_below() -> None:
    text = markdown(results_of(sample("hello", "Granian", 2, problems=["too slow"])))
    assert "\n* hello: Granian, round 1: too slow\n* Daphne is left out\n" in text
    assert text.endswith("\nMeasured 2026-05-04T12:30:00+00:00 at commit abc1234, on 2 CPUs (Example 9000).\n")


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [
        ((1000, 1010, 1020), (900, 910, 920), "slower"),
        ((900, 910, 920), (1000, 1010, 1020), "faster"),
        ((1000, 1010, 1020), (900, 910, 1000), "within noise"),
        ((1000, 1010, 1020), (980, 990, 999), "within noise"),
    ],
)
def test_a_rate_is_slower_when_it_is_less_and_the_rounds_do_not_overlap(
    before: tuple[float, ...], now: tuple[float, ...], verdict: str
) -> None:
    rows = baseline.changes(results_of(*rounds("threadserve", *before)), results_of(*rounds("threadserve", *now)))
    assert next(rows)[-1] == verdict


def test_a_latency_is_slower_when_it_is_more() -> None:
    before = results_of(*rounds("threadserve", 10))
    now = results_of(*rounds("threadserve", 10, p99=12.0), *rounds("Granian", 10))
    told = {row[3]: row[-1] for row in baseline.changes(before, now)}
    assert told == {RATE: "within noise", "p50 ms": "within noise", "p99 ms": "slower", CPU: "within noise"}
    row = ["hello", "threadserve", "1", "p99 ms", "12.0 (12.0-12.0)", "9 (9-9)", "+33%", "slower"]
    assert row in list(baseline.changes(before, now))


def measured(server: str, *rates: float, cpu: float = 0.0) -> list[Sample]:
    return [Sample("hello", server, 0, number, [], {RATE: rate, CPU: cpu}) for number, rate in enumerate(rates)]


def outcome(*targets: Target, **servers: list[float]) -> Results:
    """Return the results of the figure `hello` with these rates by server."""
    samples = [one for server, rates in servers.items() for one in measured(server, *rates)]
    return Results(FACTS, {}, [], samples, {"hello": list(targets)})


def target(wanted: float | None, *peers: str, bound: Bound = "at least", value: str = RATE) -> Target:
    return Target(value, bound, wanted, "ours", list(peers))


def test_the_ratio_is_of_medians() -> None:
    results = outcome(target(1.6, "theirs"), ours=[90_000, 1, 100_000], theirs=[50_000, 60_000, 40_000])
    cells = (
        "hello | requests/s | ours | 90,000 (1-100,000) | theirs | 50,000 (40,000-60,000) | 1.80 | at least 1.6 | yes"
    )
    assert list(target_rows(results)) == [cells.split(" | ")]
    assert f"| {cells} |\n" in markdown(results)


@pytest.mark.parametrize(
    ("wanted", "ours", "is_reached"),
    [
        (target(1.6, "theirs"), 80_000, True),
        (target(1.6, "theirs"), 79_999, False),
        (target(2.0, "theirs", bound="at most"), 100_000, True),
        (target(2.0, "theirs", bound="at most"), 100_001, False),
        (target(20, bound="at most"), 20, True),
        (target(20, bound="at most"), 20.1, False),
        (target(None, bound="at most"), 10**9, True),
    ],
)
def test_a_target_is_a_bound_of_the_ratio_or_of_the_value_alone(wanted: Target, ours: float, is_reached: bool) -> None:
    assert all_reached(outcome(wanted, ours=[ours], theirs=[50_000])) is is_reached


def test_the_best_way_of_a_peer_counts_and_the_others_are_shown() -> None:
    targets = [target(1.3, "one", "two"), target(2.5, "one", "two", bound="at most", value=CPU)]
    results = Results(FACTS, {}, targets={"hello": targets})
    results.samples = [
        *measured("ours", 130, cpu=20),
        *measured("one", 90, 90, 300, cpu=8),
        *measured("two", 101, 101, 10, cpu=7.9),
    ]
    assert [(row[1], row[4], *row[7:]) for row in target_rows(results)] == [
        (RATE, "one", "", ""),
        (RATE, "two", "at least 1.3", "no"),
        (CPU, "one", "", ""),
        (CPU, "two", "at most 2.5", "no"),
    ]
    results.samples = [one for one in results.samples if one.server != "two"]
    assert next(target_rows(results))[-1] == "yes"


def test_problems_errors_and_failures_count_against_a_figure() -> None:
    good = outcome(target(1.6, "theirs"), ours=[100], theirs=[50])
    assert all_reached(good)
    assert not all_reached(replace(good, left_out=["Waitress is left out"]))
    assert not all_reached(replace(good, samples=[replace(good.samples[0], problems=["late"]), good.samples[1]]))
    assert not all_reached(replace(good, samples=[good.samples[0], replace(good.samples[1], errors={"read": 3})]))
    assert not all_reached(replace(good, samples=[]))
    assert not all_reached(replace(good, samples=good.samples[:1]))
    assert not all_reached(replace(good, samples=good.samples[1:]))


def test_what_failed_is_not_reached_in_the_table_either() -> None:
    good = outcome(target(1.6, "theirs"), ours=[100], theirs=[50])
    spoilt = replace(good, samples=[good.samples[0], replace(good.samples[1], errors={"read": 3})])
    assert [row[-1] for row in target_rows(good)] == ["yes"]
    assert [row[-1] for row in target_rows(spoilt)] == ["spoilt"]
    silent = outcome(target(1.6, "theirs"), ours=[100], theirs=[0])
    assert [row[-3] for row in target_rows(silent)] == ["inf"]
