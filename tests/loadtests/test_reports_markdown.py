"""The Markdown table of a comparison."""

from support.comparison import comparison, sample

from loadtests.reports.markdown import escaped, table
from loadtests.results.comparison import Results, Sample


def results_of(*samples: Sample, left_out: list[str] | None = None) -> Results:
    return Results({"date": "today", "commit": "abc"}, {"hello": "Hello world"}, left_out or [], list(samples))


def rows(results: Results) -> list[list[str]]:
    """The cells of each row below the two of the head."""
    lines = [line for line in table(results).splitlines() if line.startswith("| ")]
    return [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines[2:]]


def test_a_row_has_medians_and_the_ratio() -> None:
    found = rows(
        results_of(
            *(sample("hello", "threadserve", 2, number, rate=rate) for number, rate in enumerate([2000, 1000, 9000])),
            *(sample("hello", "Granian", 2, number, rate=rate) for number, rate in enumerate([500, 400, 900])),
        )
    )
    ours = "**2,000 (1,000-9,000)**"
    assert found == [
        ["Hello world", "threadserve", "2", ours, "1.00", "2.0", "**9.0**", "30.0", "0", "0.45", "50.0", "3"],
        [
            "Hello world",
            "Granian",
            "2",
            "500.0 (400.0-900.0)",
            "0.25",
            "2.0",
            "**9.0**",
            "30.0",
            "0",
            "1.8",
            "50.0",
            "3",
        ],
    ]


def test_a_case_that_threadserve_loses_is_as_bold_as_one_that_it_wins() -> None:
    ours, theirs = rows(results_of(sample("hello", "threadserve", rate=100), sample("hello", "Granian", rate=139)))
    assert (ours[3], ours[4]) == ("100.0 (100.0-100.0)", "1.00")
    assert (theirs[3], theirs[4]) == ("**139.0 (139.0-139.0)**", "1.39")


def test_what_nobody_answered_is_an_empty_cell_beside_the_errors() -> None:
    ((*_, errors, cpu, _, _),) = rows(
        results_of(sample("hello", "Daphne", rate=0, percentiles={}, errors={"refused": 1200}))
    )
    assert (errors, cpu) == ("1,200", "")


def test_every_row_has_as_many_cells_as_the_head() -> None:
    results = comparison(["hello", "flask"], threads=[1, 2], rounds=2, seconds=1)
    lines = [line for line in table(results).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 2 * (8 + 5)
    assert {line.count("|") for line in lines} == {13}


def test_problems_what_is_missing_and_the_facts_stand_below() -> None:
    doubtful = sample("hello", "Granian", 2, problems=["3 errors: timeout"])
    text = table(results_of(doubtful, left_out=["Daphne is left out"]))
    assert "Doubtful:\n\n* Hello world, Granian, 2 threads or workers, round 1: 3 errors: timeout\n" in text
    assert "Missing:\n\n* Daphne is left out\n" in text
    assert text.endswith("Measured:\n\n* date: today\n* commit: abc\n")


def test_nothing_in_a_name_is_taken_for_markup() -> None:
    (cells,) = rows(results_of(sample("hello", "a|b <b>*_`")))
    assert cells[1] == r"a\|b \<b\>\*\_\`"
    assert escaped("two\nlines [x](y) \\|") == r"two lines \[x\](y) \\\|"
    text = table(results_of(sample("hello", "a", problems=["<script>\n# x"])))
    assert r"round 1: \<script\> # x" in text
