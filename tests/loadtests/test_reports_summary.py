"""Medians, ratios and verdicts made of a comparison's samples."""

import pytest
from support.comparison import comparison, sample

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

from loadtests.reports import notes, overview
from loadtests.reports.blocked import buckets, middle_round
from loadtests.reports.curves import rates_differ
from loadtests.reports.styles import PRODUCTS, styles
from loadtests.reports.summary import Summary, label, p99, requests_per_second
from loadtests.results.comparison import Results, Sample
from loadtests.results.medians import short, spread


def summary_of(*samples: Sample, left_out: list[str] | None = None) -> Summary:
    return Summary(Results({}, {"hello": "Hello", "mixed": "Mixed"}, left_out or [], list(samples)))


def rounds(server: str, *rates: float, threads: int = 1, scenario: str = "hello") -> list[Sample]:
    return [sample(scenario, server, threads, number, rate=rate) for number, rate in enumerate(rates, start=1)]


@pytest.mark.parametrize(
    ("number", "text"), [(12_345.6, "12,346"), (999.94, "999.9"), (1, "1.0"), (0.0456, "0.046"), (0, "0")]
)
def test_numbers_are_as_exact_as_they_are_useful(number: float, text: str) -> None:
    assert short(number) == text


def test_rounds_are_told_by_their_median_and_spread() -> None:
    (case,) = summary_of(*rounds("threadserve", 100, 900, 110)).cases
    assert case.requests_per_second == spread([100, 110, 900])
    assert str(case.requests_per_second) == "110.0 (100.0-900.0)"


def test_percentiles_are_medians_of_the_rounds() -> None:
    (case,) = summary_of(
        *(sample("hello", "Uvicorn", number=number, percentiles={"99": p}) for number, p in enumerate([9, 1, 50]))
    ).cases
    assert p99(case) == spread([1, 9, 50])
    assert case.percentile("99.9") is None


def test_cpu_time_is_per_request() -> None:
    (case,) = summary_of(sample("hello", "Uvicorn", rate=300, seconds=10)).cases
    assert case.cpu_milliseconds == spread([3.0])


def test_what_nobody_answered_has_no_latency_and_no_cpu_time_per_request() -> None:
    summary = summary_of(
        sample("hello", "threadserve"), sample("hello", "Uvicorn", rate=0, percentiles={}, errors={"refused": 7})
    )
    dead = summary.cases[1]
    assert (p99(dead), dead.cpu_milliseconds, dead.errors) == (None, None, {"refused": 7})
    assert summary.ratio(dead, requests_per_second) == 0
    assert summary.ratio(dead, p99) is None


def test_errors_of_all_rounds_are_added_up() -> None:
    (case,) = summary_of(
        sample("hello", "Uvicorn", number=1, errors={"timeout": 2, "read": 1}),
        sample("hello", "Uvicorn", number=2, errors={"timeout": 3}),
    ).cases
    assert case.errors == {"timeout": 5, "read": 1}


def test_cases_are_in_the_order_of_scenarios_then_threadserve_first_then_threads() -> None:
    summary = summary_of(
        sample("own", "threadserve"),
        sample("mixed", "Granian"),
        sample("hello", "Granian", 2),
        sample("hello", "Granian", 1),
        sample("hello", "threadserve on 3.13t", 1),
    )
    assert summary.scenarios == {"hello": "Hello", "mixed": "Mixed", "own": "own"}
    assert [(case.scenario, case.server, case.threads) for case in summary.cases] == [
        ("hello", "threadserve on 3.13t", 1),
        ("hello", "Granian", 1),
        ("hello", "Granian", 2),
        ("mixed", "Granian", 1),
        ("own", "threadserve", 1),
    ]


def test_ratios_are_to_threadserve_with_as_many_threads_or_else_its_most() -> None:
    summary = summary_of(
        *rounds("threadserve on 3.13t", 100, threads=1),
        *rounds("threadserve on 3.13t", 200, threads=2),
        *rounds("threadserve on 3.13", 1, threads=8),
        *rounds("Granian", 150, threads=1),
        *rounds("Granian", 150, threads=2),
        *rounds("Granian", 150, threads=8),
    )
    granian = [case for case in summary.cases if case.server == "Granian"]
    assert [summary.ratio(case, requests_per_second) for case in granian] == [1.5, 0.75, 0.75]


def test_without_threadserve_there_is_no_ratio_and_no_overview() -> None:
    summary = summary_of(*rounds("Granian", 150))
    assert summary.reference(summary.cases[0]) is None
    assert summary.ratio(summary.cases[0], requests_per_second) is None
    assert overview.grids(summary) == []
    assert overview.grids(summary_of(*rounds("threadserve", 150))) == []


def test_the_best_is_found_among_those_with_as_many_threads() -> None:
    summary = summary_of(
        *rounds("threadserve", 100, threads=1), *rounds("Granian", 150, threads=1), *rounds("Granian", 300, threads=2)
    )
    assert [summary.is_best(case, requests_per_second, max) for case in summary.cases] == [False, True, False]


def test_each_server_leads_with_its_most_threads_and_says_so() -> None:
    summary = summary_of(*rounds("Daphne", 1, threads=1), *rounds("Granian", 1, threads=1, scenario="mixed"))
    assert [label(case, summary.leading("hello")) for case in summary.leading("hello")] == ["Daphne"]
    summary = summary_of(
        *rounds("Daphne", 1, threads=1), *rounds("Granian", 1, threads=1), *rounds("Granian", 2, threads=4)
    )
    leading = summary.leading("hello")
    assert [label(case, leading) for case in leading] == ["Daphne (1)", "Granian (4)"]


@pytest.mark.parametrize(
    ("ours", "theirs", "winner"),
    [
        ([100, 110], [120, 130], "theirs"),
        ([100, 110], [80, 90], "ours"),
        ([100, 125], [120, 130], "nobody"),  # The rounds overlap.
        ([100, 100], [102, 102], "nobody"),  # As good as the same.
        ([100], [200], "nobody"),  # One round shows no spread.
    ],
)
def test_who_is_better_is_said_only_where_it_is_clear(ours: list[float], theirs: list[float], winner: str) -> None:
    grid = overview.grids(summary_of(*rounds("threadserve", *ours), *rounds("Granian", *theirs)))[0]
    ((title, (cell,)),) = grid.rows
    assert (title, cell.winner) == ("Hello", winner)
    counted = {name: int(name == winner) for name in ("ours", "theirs", "nobody")}
    assert grid.verdict == (
        f"threadserve was better in {counted['ours']} of 1 comparisons, the other server in {counted['theirs']}, "
        f"and nobody clearly in {counted['nobody']}."
    )


def test_less_latency_is_better() -> None:
    both = [
        sample("hello", server, number=number, percentiles={"99": p + number})
        for server, p in (("threadserve", 10.0), ("Granian", 20.0))
        for number in (1, 2)
    ]
    (_, (cell,)) = overview.grids(summary_of(*both))[1].rows[0]
    assert (cell.ratio, cell.winner) == ("1.87", "ours")


def test_an_interruption_is_told() -> None:
    results = comparison(["hello", "json"], threads=[2], rounds=2)
    results.samples = [one for one in results.samples if one.scenario == "hello"][:-1]
    missing = notes.missing(results, Summary(results))
    assert "JSON API with think time: nothing was measured" in missing
    assert "Hello world over ASGI, without pauses: 1 of 2 rounds of Uvicorn on 3.13t" in missing
    assert results.left_out[0] in missing
    assert len(missing) == 3


def test_facts_become_lines() -> None:
    results = Results(
        {"date": "today", "machine": {"cpus": 2, "load_average_before": 0.25}, "interpreters": {"3.13": {"gil": True}}},
        {},
    )
    assert notes.facts(results) == [
        ("date", "today"),
        ("machine", "cpus 2, load average before 0.25"),
        ("interpreters: 3.13", "gil yes"),
    ]


def test_requests_are_gathered_by_the_time_in_which_they_ended() -> None:
    found = buckets([(0.05, 3.0), (0.1, 1.0), (0.19, 20.0), (0.61, 5.0)])
    assert [bucket.second for bucket in found] == pytest.approx([0.1, 0.7])
    assert [(bucket.median, bucket.slowest) for bucket in found] == [(3.0, 20.0), (5.0, 5.0)]


def test_the_round_in_the_middle_stands_for_all() -> None:
    told = [
        sample("mixed", "Uvicorn", number=n, percentiles={"99": p}, timeline=[(0, p)]) for n, p in enumerate([9, 1, 5])
    ]
    (case,) = summary_of(*told, sample("mixed", "Uvicorn", number=7, percentiles={"99": 6})).cases
    assert middle_round(case) == told[2]
    assert middle_round(summary_of(sample("mixed", "Uvicorn")).cases[0]) is None


def test_scenarios_whose_users_set_the_pace_do_not_scale() -> None:
    paced = [*rounds("threadserve", 400, threads=1), *rounds("threadserve", 402, threads=2)]
    assert not rates_differ(summary_of(*paced).cases)
    assert rates_differ(summary_of(*paced, *rounds("Daphne", 300)).cases)


def test_colours_stay_whoever_takes_part() -> None:
    few, many = styles(["Granian on 3.13"]), styles(["threadserve", "Uvicorn", "Granian on 3.13", "Granian on 3.13t"])
    assert few["Granian on 3.13"] == many["Granian on 3.13"]
    assert many["Granian on 3.13"].colour == many["Granian on 3.13t"].colour
    assert many["Granian on 3.13"].line != many["Granian on 3.13t"].line
    assert [name for name, style in many.items() if style.strong] == ["threadserve"]
    assert styles(["Twisted"])["Twisted"].colour not in {product.light for product in PRODUCTS.values()}
