"""The page, the plots and the tables of a run."""

import re
import struct
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.comparison import comparison, sample

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("jinja2", reason="jinja2 is not installed")

from loadtests.errors import LoadTestError
from loadtests.reports import writing
from loadtests.reports.command import report
from loadtests.reports.plots import buckets, middle_round, rates_differ
from loadtests.reports.sections import escaped, facts, markdown, missing
from loadtests.reports.summary import Summary, label
from loadtests.results import record
from loadtests.results.medians import short, spread
from loadtests.results.record import RATE, Results, Sample, Target

HOSTILE = "Evil|<script>alert(1)</script>--><b>$x_1$ \"'&amp;"
OURS, THEIRS = "threadserve on 3.13t", "Uvicorn on 3.13"


class Page(HTMLParser):
    """What a page refers to, its tags, and its visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]

    def handle_data(self, data: str) -> None:
        self.text += data


def size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG file, in pixels."""
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def written(results: Results, folder: Path) -> tuple[dict[str, Path], Page]:
    """The files by their names, and the page."""
    files = {path.name: path for path in writing.write(results, folder)}
    return files, Page(files["report.html"].read_text())


def results_of(*samples: Sample, left_out: list[str] | None = None) -> Results:
    titles = {"hello": "Hello world", "mixed": "Mixed"}
    return Results({"date": "today", "commit": "abc"}, titles, left_out or [], list(samples))


def rounds(server: str, *rates: float, threads: int = 1, scenario: str = "hello") -> list[Sample]:
    return [sample(scenario, server, threads, number, rate=rate) for number, rate in enumerate(rates, start=1)]


def rows(results: Results) -> list[list[str]]:
    """The cells of each row below the two of the head."""
    lines = [line for line in markdown(results).splitlines() if line.startswith("| ")]
    return [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines[2:]]


def test_everything_is_written_and_the_page_needs_nothing_else(tmp_path: Path) -> None:
    results = comparison(["hello", "mixed"], threads=[1, 2])
    files, page = written(results, tmp_path / "new")
    plots = {"throughput.png", "blocked.png", "scaling.png", "memory.png", "latency.png"}
    assert set(files) == {"report.html", "table.md", *plots}
    assert {path.name for path in (tmp_path / "new").iterdir()} == set(files)
    for name in plots:
        width, height = size(files[name])
        assert 1000 < width < 3000, name
        assert 300 < height < 3000, name
    assert [reference.partition(",")[0] for reference in page.references] == ["data:image/svg+xml;base64"] * 5
    assert not {"script", "link"} & set(page.tags)
    for told in ("2026-05-04T12:30:00+00:00", "abc1234", "Example 9000", "3.13.5", "wrk --duration 10s", "Twisted"):
        assert told in page.text, told


def test_names_and_problems_are_text(tmp_path: Path) -> None:
    theirs = replace(sample("hello", HOSTILE, problems=[HOSTILE]), command=["python", HOSTILE])
    results = Results({"date": HOSTILE}, {"hello": HOSTILE}, [HOSTILE], [sample("hello", "threadserve"), theirs])
    _, page = written(results, tmp_path)
    assert "script" not in page.tags
    assert page.text.count(HOSTILE) > 5


def test_plots_that_have_no_data_are_left_out(tmp_path: Path) -> None:
    dead = results_of(sample("hello", "Uvicorn", rate=0, percentiles={}))
    assert set(written(dead, tmp_path)[0]) == {"report.html", "table.md", "throughput.png"}
    files, page = written(results_of(), tmp_path)
    assert set(files) == {"report.html", "table.md"}
    assert "Hello world: nothing was measured" in page.text


def test_reports_can_be_made_again(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    record.write(file, results_of(sample("hello", "threadserve")))
    done = CliRunner().invoke(report, [str(file), "--output", str(tmp_path / "other")], standalone_mode=False)
    assert done.exception is None
    assert f"Written: {tmp_path / 'other/throughput.png'}\n" in done.output
    done = CliRunner().invoke(report, [str(tmp_path / "none.json")])
    assert done.exit_code == 2
    assert re.search(r"Error: .*none\.json cannot be read: No such file or directory\n$", done.output)


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("loadtests.reports.writing.find_spec", lambda name: None if name == "matplotlib" else sys)
    with pytest.raises(LoadTestError, match=r"pip install matplotlib$"):
        writing.write(Results({}, {}), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_row_has_medians_and_the_ratio() -> None:
    ours, theirs = rows(results_of(*rounds("threadserve", 2000, 1000, 9000), *rounds("Granian", 500, 400, 900)))
    rest = ["30.0", "0", "450.0", "50.0", "2"]
    bold = "**2,000 (1,000-9,000)**"
    assert ours == ["Hello world", "threadserve", "1", bold, "1.00", "2.0", "**9.0**", *rest]
    assert theirs == ["Hello world", "Granian", "1", "500.0 (400.0-900.0)", "0.25", "2.0", "**9.0**", *rest]


def test_a_case_that_threadserve_loses_is_as_bold_as_one_that_it_wins() -> None:
    ours, theirs = rows(results_of(*rounds("threadserve", 100), *rounds("Granian", 139)))
    assert (ours[3], ours[4]) == ("100.0 (100.0-100.0)", "1.00")
    assert (theirs[3], theirs[4]) == ("**139.0 (139.0-139.0)**", "1.39")


def test_what_nobody_answered_is_an_empty_cell_beside_all_rounds_errors() -> None:
    dead = [sample("hello", "Daphne", number=n, rate=0, percentiles={}, errors={"refused": 600}) for n in (1, 2)]
    ((*_, p99, _, errors, cpu, _, _),) = rows(results_of(*dead))
    assert (p99, errors, cpu) == ("", "1,200", "")


def test_problems_what_is_missing_and_the_facts_stand_below() -> None:
    text = markdown(results_of(sample("hello", "Granian", 2, problems=["too slow"]), left_out=["Daphne is left out"]))
    assert "Doubtful:\n\n* Hello world, Granian, --threads 2, round 1: too slow\n" in text
    assert "Missing:\n\n* Daphne is left out\n* Mixed: nothing was measured\n" in text
    assert "Measured:\n\n* date: today\n* commit: abc\n" in text
    assert "\n* hello, Granian, --threads 2: python -m Granian app:app under wrk --duration 10s http:" in text


def test_nothing_in_a_name_is_taken_for_markup() -> None:
    (cells,) = rows(results_of(sample("hello", "a|b <b>*_`")))
    assert cells[1] == r"a\|b \<b\>\*\_\`"
    assert escaped("two\nlines [x](y) \\|") == r"two lines \[x\](y) \\\|"


def test_errors_are_problems_of_a_figure_with_a_target() -> None:
    results = results_of(sample("hello", "threadserve", 0, errors={"read": 3}))
    results.targets = {"hello": [Target(RATE, "at least", None, "threadserve")]}
    text = markdown(results)
    assert "* Hello world, threadserve, round 1: 3 errors: read" in text
    assert rows(results) == [["Hello world", RATE, "100.0 (100.0-100.0)", "", "", "", "", ""]]


@pytest.mark.parametrize(
    ("number", "text"), [(12_345.6, "12,346"), (999.94, "999.9"), (1, "1.0"), (0.0456, "0.046"), (0, "0")]
)
def test_numbers_are_as_exact_as_they_are_useful(number: float, text: str) -> None:
    assert short(number) == text


def test_rounds_are_told_by_their_median_and_spread() -> None:
    (case,) = Summary(results_of(*rounds("threadserve", 100, 900, 110))).cases
    assert case.spread(RATE) == spread([100, 110, 900])
    assert str(case.spread(RATE)) == "110.0 (100.0-900.0)"
    assert case.spread("p75 ms") is None


def test_cases_are_in_the_order_of_scenarios_then_threadserve_first_then_threads() -> None:
    samples = [("own", "threadserve", 1), ("mixed", "Granian", 1), ("hello", "Granian", 2), ("hello", "Granian", 1)]
    summary = Summary(results_of(*(sample(*about) for about in samples), sample("hello", OURS)))
    assert summary.scenarios == {"hello": "Hello world", "mixed": "Mixed", "own": "own"}
    assert [(case.scenario, case.server, case.threads) for case in summary.cases] == [
        ("hello", OURS, 1),
        ("hello", "Granian", 1),
        ("hello", "Granian", 2),
        ("mixed", "Granian", 1),
        ("own", "threadserve", 1),
    ]


def test_ratios_are_to_threadserve_with_as_many_threads_or_else_its_most() -> None:
    ours = [*rounds(OURS, 100, threads=1), *rounds(OURS, 200, threads=2), *rounds("threadserve on 3.13", 1, threads=8)]
    theirs = [one for threads in (1, 2, 8) for one in rounds("Granian", 150, threads=threads)]
    summary = Summary(results_of(*ours, *theirs))
    assert [summary.ratio(case, RATE) for case in summary.cases if case.server == "Granian"] == [1.5, 0.75, 0.75]
    alone = Summary(results_of(*theirs))
    assert alone.ratio(alone.cases[0], RATE) is None


def test_the_best_is_found_among_those_with_as_many_threads() -> None:
    theirs = [*rounds("Granian", 150, threads=1), *rounds("Granian", 300, threads=2)]
    summary = Summary(results_of(*rounds("threadserve", 100), *theirs))
    assert [summary.is_best(case, RATE, max) for case in summary.cases] == [False, True, False]


def test_each_server_leads_with_its_most_threads_and_says_so() -> None:
    more = [*rounds("Granian", 1, threads=1), *rounds("Granian", 2, threads=4)]
    leading = Summary(results_of(*rounds("Daphne", 1), *more)).leading("hello")
    assert [label(case, leading) for case in leading] == ["Daphne (1)", "Granian (4)"]
    leading = Summary(results_of(*rounds("Daphne", 1))).leading("hello")
    assert [label(case, leading) for case in leading] == ["Daphne"]


def test_an_interruption_is_told() -> None:
    results = comparison(["hello", "mixed"], threads=[2])
    results.samples = [one for one in results.samples if one.measurement == "hello"][:-1]
    assert missing(results, Summary(results)) == [
        *results.left_out,
        "Quick requests, while one in a hundred blocks: nothing was measured",
        "Hello world over ASGI, without pauses: 1 of 2 rounds of Uvicorn on 3.13t",
    ]


def test_facts_become_lines() -> None:
    machine = {"cpus": 2, "load_average_before": 0.25}
    told = Results({"date": "today", "machine": machine, "interpreters": {"3.13": {"gil": True}}}, {})
    lines = ["date: today", "machine: cpus 2, load_average_before 0.25", "interpreters: 3.13 gil True"]
    assert facts(told) == lines


def test_requests_are_gathered_by_the_time_in_which_they_ended() -> None:
    found = buckets([(0.05, 3.0), (0.1, 1.0), (0.19, 20.0), (0.61, 5.0)])
    assert [second for second, _, _ in found] == pytest.approx([0.1, 0.7])
    assert [(median, slowest) for _, median, slowest in found] == [(3.0, 20.0), (5.0, 5.0)]


def test_the_round_in_the_middle_stands_for_all() -> None:
    told = [
        sample("mixed", "Uvicorn", number=n, percentiles={"99": p}, timeline=[(0, p)]) for n, p in enumerate([9, 1, 5])
    ]
    (case,) = Summary(results_of(*told, sample("mixed", "Uvicorn", number=7, percentiles={"99": 6}))).cases
    assert middle_round(case) == told[2]
    assert middle_round(Summary(results_of(sample("mixed", "Uvicorn"))).cases[0]) is None


def test_scenarios_whose_users_set_the_pace_do_not_scale() -> None:
    paced = [*rounds("threadserve", 400, threads=1), *rounds("threadserve", 402, threads=2)]
    assert not rates_differ(Summary(results_of(*paced)).cases)
    assert rates_differ(Summary(results_of(*paced, *rounds("Daphne", 300))).cases)
