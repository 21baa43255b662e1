"""Records of runs that are written and read again."""

import json
import tempfile
from pathlib import Path

import pytest
from support.comparison import FACTS, sample

from loadtests import results as record
from loadtests.errors import LoadTestError
from loadtests.results import Results, Target, portable, short, spread
from loadtests.servers.interpreters import ROOT


def results() -> Results:
    target = Target("requests/s", "at least", 1.5, "threadserve", ["Uvicorn"])
    return Results(FACTS, {"hello": "Hello"}, ["no Granian"], [sample("hello", "threadserve")], {"hello": [target]})


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "new/folder/results.json"
    record.write(path, results())
    assert record.read(path) == results()


def test_earlier_records_with_single_requests_are_read(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    record.write(path, results())
    told = json.loads(path.read_text())
    told["samples"][0]["timeline"] = [[0.1, 2.0]]
    path.write_text(json.dumps(told))
    assert record.read(path) == results()


@pytest.mark.parametrize("published", ["blocked", "servers", "threads"])
def test_published_records_are_read(published: str) -> None:
    results = record.read(ROOT / f"loadtests/measured/2026-11-21/{published}/results.json")
    assert len(results.samples) >= 24


def test_a_file_is_replaced_at_once(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    record.write(path, Results(FACTS, {}))
    with path.open() as earlier:
        record.write(path, results())
        assert json.loads(earlier.read())["samples"] == []
    assert len(record.read(path).samples) == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[]", b"{}", b'{"format": "loadtests-compare-99"}', b'{"format": "loadtests-2"}']
)
def test_another_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(LoadTestError, match=r"other\.json is no record of the format loadtests-2"):
        record.read(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LoadTestError, match=r"nowhere\.json cannot be read: No such file"):
        record.read(tmp_path / "nowhere.json")


def test_command_lines_are_kept_without_the_folders_of_one_machine() -> None:
    line = [f"{ROOT}/build/python", "-s", f"{tempfile.gettempdir()}/a/samples.csv", "--path", "/x", "/opt/python"]
    assert portable(line) == ["build/python", "-s", "a/samples.csv", "--path", "/x", "/opt/python"]


@pytest.mark.parametrize(
    ("number", "text"), [(12_345.6, "12,346"), (999.94, "999.9"), (9, "9"), (1.234, "1.23"), (0.0456, "0.0456")]
)
def test_numbers_are_as_exact_as_they_are_useful(number: float, text: str) -> None:
    assert short(number) == text


def test_rounds_are_told_by_their_median_and_spread() -> None:
    rounds = [sample("hello", "threadserve", rate=rate) for rate in (100, 900, 110)]
    assert str(spread(rounds, "requests/s")) == "110.0 (100.0-900.0)"
    assert spread(rounds, "p75 ms") is None
