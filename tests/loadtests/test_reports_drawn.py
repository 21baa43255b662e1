"""The page and the plots of a comparison."""

import re
import struct
import sys
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.comparison import comparison, sample

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("jinja2", reason="jinja2 is not installed")

from matplotlib.figure import Figure

from loadtests import reports
from loadtests.errors import LoadTestError
from loadtests.reports.command import report
from loadtests.reports.drawing import LINE_HEIGHT, apart, label_ends
from loadtests.reports.styles import DARK, styles
from loadtests.results import storage
from loadtests.results.comparison import Results

HOSTILE = "Evil|<script>alert(1)</script>--><b>$x_1$ \"'&amp;"


class Page(HTMLParser):
    """What a page refers to, its ids, and its visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
                self.references.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG file, in pixels."""
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def written(results: Results, folder: Path) -> tuple[dict[str, Path], str]:
    """The files by their names, and the page's text."""
    files = {path.name: path for path in reports.write(results, folder)}
    return files, files["report.html"].read_text()


def few_servers(results: Results) -> Results:
    """The same with two servers, for drawing takes its time."""
    results.samples = [one for one in results.samples if one.server in ("threadserve on 3.13t", "Uvicorn on 3.13")]
    return results


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Path], str]:
    """What is written of several scenarios, servers and numbers of threads."""
    results = few_servers(comparison(["hello", "mixed"], threads=[1, 2], rounds=2, seconds=2))
    return written(results, tmp_path_factory.mktemp("reports") / "new")


def test_there_is_a_plot_of_everything(whole: tuple[dict[str, Path], str]) -> None:
    files, _ = whole
    latencies = {f"latency-{scenario}.png" for scenario in ("hello", "mixed")}
    plots = {"throughput.png", "blocked.png", "scaling.png", "memory.png", *latencies}
    assert set(files) == {"report.html", "table.md", *plots}
    assert {path.name for path in files["report.html"].parent.iterdir()} == set(files)
    for name in plots:
        width, height = size(files[name])
        assert 1000 < width < 3000, name
        assert 300 < height < 3000, name
        assert files[name].stat().st_size > 10_000


def test_the_page_needs_nothing_else(whole: tuple[dict[str, Path], str]) -> None:
    page = Page(whole[1])
    anchors = {reference.removeprefix("#") for reference in page.references}
    assert all(reference.startswith("#") for reference in page.references)
    assert anchors <= set(page.ids)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert not re.search(r"url\((?!#)|@import", whole[1])


def test_ids_of_all_drawings_differ(whole: tuple[dict[str, Path], str]) -> None:
    page = Page(whole[1])
    assert page.tags.count("svg") == 8
    assert len(set(page.ids)) == len(page.ids)


def test_a_dark_page_has_its_own_colours_for_every_drawing(whole: tuple[dict[str, Path], str]) -> None:
    drawn = set(re.findall(r"var\((--plot-\w+), (#\w+)\)", whole[1]))
    assert {colour for _, colour in drawn} <= set(DARK)
    assert len(drawn) > 4
    for name, colour in drawn:
        assert f"{name}: {DARK[colour]};" in whole[1]
    drawings = "".join(re.findall(r"<svg.*?</svg>", whole[1], re.DOTALL))
    assert not re.search(r"(?<!, )(?:fill|stroke): #(?!000000|ffffff)", drawings)


def test_the_page_tells_where_figures_come_from(whole: tuple[dict[str, Path], str]) -> None:
    text = Page(whole[1]).text
    for told in (
        "2026-05-04T12:30:00+00:00",
        "abc1234",
        "Example 9000",
        "3.13.5t",
        "granian 2.7.9",
        "wrk --duration 2s",
    ):
        assert told in text, told
    assert "Twisted on 3.13 is left out" in text
    assert text.count("threadserve on 3.13t, 2 threads or workers, and its load") == 2


def test_names_and_problems_are_text(tmp_path: Path) -> None:
    ours = sample("hello", "threadserve")
    theirs = replace(sample("hello", HOSTILE, problems=[HOSTILE]), command=["python", HOSTILE])
    results = Results({"date": HOSTILE}, {"hello": HOSTILE}, [HOSTILE], [ours, theirs])
    _, text = written(results, tmp_path)
    page = Page(text)
    assert "script" not in page.tags
    assert page.text.count(HOSTILE) > 5


def test_plots_that_have_no_data_are_left_out(tmp_path: Path) -> None:
    one = Results({}, {"mixed": "Mixed"}, [], [sample("mixed", "threadserve"), sample("mixed", "Uvicorn")])
    files, text = written(one, tmp_path / "one")
    assert set(files) == {"report.html", "table.md", "throughput.png", "latency-mixed.png"}
    assert "Latency while threads are blocked" not in text
    assert "by threads or workers" not in text
    dead = Results({}, {"hello": "Hello"}, [], [sample("hello", "Uvicorn", rate=0, percentiles={})])
    assert set(written(dead, tmp_path / "dead")[0]) == {"report.html", "table.md", "throughput.png"}


def test_nothing_measured_makes_a_page_that_says_so(tmp_path: Path) -> None:
    files, text = written(Results({}, {"hello": "Hello"}), tmp_path)
    assert set(files) == {"report.html", "table.md"}
    assert "Hello: nothing was measured" in text


def test_an_interrupted_comparison_is_drawn(tmp_path: Path) -> None:
    results = few_servers(comparison(["hello", "json"], threads=[1, 2], rounds=2, seconds=1))
    results.samples = results.samples[:7]  # Of 4 in a round of the first scenario.
    files, text = written(results, tmp_path)
    assert {"throughput.png", "scaling.png", "memory.png", "latency-hello.png"} <= set(files)
    assert "latency-json.png" not in files
    assert "Hello world over ASGI, without pauses: 1 of 2 rounds of Uvicorn on 3.13 (2)" in text


@pytest.mark.parametrize("wanted", [[0.5] * 6, [0.97, 0.98, 0.99, 1.0], [0.0, 0.01, 0.5, 0.52, 1.0]])
def test_names_beside_lines_keep_apart_and_below_the_top(wanted: Sequence[float]) -> None:
    placed = apart(wanted, 0.1)
    assert all(after - before >= 0.1 - 1e-9 for before, after in pairwise(placed))
    assert max(placed) <= 1
    assert min(placed) >= 0


def test_names_of_lines_with_the_same_end_do_not_overlap() -> None:
    names = [f"Server {number}" for number in range(8)]
    drawn = styles(names)
    figure = Figure(figsize=(5, LINE_HEIGHT * 8 + 1.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([1, 2], [5.0, 6.0])
    label_ends(axes, [(2, 6.0, name, drawn[name]) for name in names])
    figure.draw_without_rendering()
    boxes = sorted((text.get_window_extent() for text in axes.texts), key=lambda box: box.y0)
    assert len(boxes) == 8
    assert all(below.y1 <= above.y0 for below, above in pairwise(boxes))
    assert boxes[0].y0 >= 0
    assert boxes[-1].y1 <= figure.bbox.height


def test_reports_can_be_made_again(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    storage.write(file, Results({}, {"hello": "Hello"}, [], [sample("hello", "threadserve")]))
    done = CliRunner().invoke(report, [str(file)], standalone_mode=False)
    assert done.exception is None
    assert (tmp_path / "report.html").exists()
    assert f"Written: {tmp_path / 'throughput.png'}\n" in done.output
    assert CliRunner().invoke(report, [str(file), "--output", str(tmp_path / "other")]).exit_code == 0
    assert (tmp_path / "other" / "table.md").exists()


def test_what_is_no_file_of_results_is_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(report, [str(tmp_path / "none.json")])
    assert done.exit_code == 2
    assert re.search(r"Error: .*none\.json cannot be read: No such file or directory\n$", done.output)


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("loadtests.reports.writing.find_spec", lambda name: None if name == "matplotlib" else sys)
    with pytest.raises(LoadTestError, match=r"pip install matplotlib$"):
        reports.write(Results({}, {}), tmp_path)
    assert list(tmp_path.iterdir()) == []
