"""Records of runs that are written and read again."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from support.comparison import FACTS, comparison, sample

from loadtests.errors import LoadTestError
from loadtests.results import record
from loadtests.results.files import portable
from loadtests.results.record import CPU, Results, Target
from loadtests.servers.interpreters import ROOT

MEASURED = ROOT / "loadtests/measured/2026-11-21"


def written(results: Results, folder: Path) -> Path:
    path = folder / "results.json"
    record.write(path, results)
    return path


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    results = comparison(["mixed"], threads=(1, 2))
    results.targets = {"mixed": [Target("requests/s", "at least", 1.5, "threadserve on 3.13t", ["Uvicorn on 3.13"])]}
    assert results.samples[0].timeline
    assert record.read(written(results, tmp_path / "new" / "folder")) == results


def test_a_file_is_replaced_at_once(tmp_path: Path) -> None:
    results = Results(FACTS, {"hello": "Hello"})
    path = written(results, tmp_path)
    with path.open() as earlier:
        results.samples.append(sample("hello", "Uvicorn on 3.13"))
        written(results, tmp_path)
        assert json.loads(earlier.read())["samples"] == []
    assert len(record.read(path).samples) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_records_of_the_first_format_are_read() -> None:
    """They had the values of the load and of the server apart."""
    blocked = record.read(MEASURED / "blocked/results.json")
    told = json.loads((MEASURED / "blocked/results.json").read_text())["samples"][0]
    first = blocked.samples[0]
    assert (first.measurement, first.server, first.round) == (told["scenario"], told["server"], 1)
    assert first.values["requests/s"] == told["load"]["requests"] / told["load"]["seconds"]
    assert first.values["p99 ms"] == told["load"]["percentiles"]["99"]
    assert first.values[CPU] == pytest.approx(1e6 * told["usage"]["cpu_seconds"] / told["load"]["requests"])
    assert first.values["PSS MB"] == told["usage"]["pss_mb"]
    assert len(first.timeline) == len(told["load"]["timeline"])
    assert blocked.titles == {"mixed": "Quick requests, while one in a hundred blocks"}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is no results of `compare`: it is not JSON"),
        (b"\xff\xfe", "is no results of `compare`: it is not JSON"),
        (b"[]", "is no results of `compare` in the format loadtests-2"),
        (b'{"figures": {}}', "is no results of `compare` in the format"),
        (b'{"format": "loadtests-compare-99"}', "is no results of `compare` in the format"),
    ],
)
def test_another_file_is_refused(content: bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(LoadTestError, match=complaint):
        record.read(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LoadTestError, match=r"nowhere\.json cannot be read: No such file"):
        record.read(tmp_path / "nowhere.json")


@pytest.mark.parametrize("damage", ["facts", "samples", "values", "targets"])
def test_a_damaged_file_is_refused(damage: str, tmp_path: Path) -> None:
    path = written(Results(FACTS, {}, [], [sample("hello", "Uvicorn on 3.13")]), tmp_path)
    told: dict[str, Any] = json.loads(path.read_text())
    for part in (told, told["samples"][0]):
        part.pop(damage, None)
    path.write_text(json.dumps(told))
    with pytest.raises(LoadTestError, match=r"results\.json is damaged: \w+Error"):
        record.read(path)


def test_command_lines_are_kept_without_the_folders_of_one_machine() -> None:
    line = [f"{ROOT}/build/python", "-s", f"{tempfile.gettempdir()}/a/samples.csv", "--path", "/x", "/opt/python"]
    assert portable(line) == ["build/python", "-s", "a/samples.csv", "--path", "/x", "/opt/python"]
