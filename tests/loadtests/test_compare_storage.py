"""Results of a comparison that are written and read again."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from support.comparison import FACTS, comparison, sample

from loadtests.errors import LoadTestError
from loadtests.results import storage
from loadtests.results.comparison import Results
from loadtests.results.files import portable
from loadtests.servers.interpreters import ROOT


def written(results: Results, folder: Path) -> Path:
    path = folder / "results.json"
    storage.write(path, results)
    return path


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    results = comparison(["mixed", "flask"], threads=(1, 2), rounds=2, seconds=1)
    assert results.samples[0].load.timeline
    assert storage.read(written(results, tmp_path / "new" / "folder")) == results


def test_a_file_is_replaced_at_once(tmp_path: Path) -> None:
    results = Results(FACTS, {"hello": "Hello"})
    path = written(results, tmp_path)
    with path.open() as earlier:
        results.samples.append(sample("hello", "Uvicorn on 3.13"))
        written(results, tmp_path)
        assert json.loads(earlier.read())["samples"] == []
    assert len(storage.read(path).samples) == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is no results of `compare`: it is not JSON"),
        (b"\xff\xfe", "is no results of `compare`: it is not JSON"),
        (b"[]", "is no results of `compare` in the format loadtests-compare-1"),
        (b'{"figures": {}}', "is no results of `compare` in the format"),
        (b'{"format": "loadtests-compare-99"}', "is no results of `compare` in the format"),
    ],
)
def test_another_file_is_refused(content: bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(LoadTestError, match=complaint):
        storage.read(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LoadTestError, match=r"nowhere\.json cannot be read: No such file"):
        storage.read(tmp_path / "nowhere.json")


@pytest.mark.parametrize("damage", ["facts", "samples", "load", "usage", "percentiles"])
def test_a_damaged_file_is_refused(damage: str, tmp_path: Path) -> None:
    path = written(Results(FACTS, {}, [], [sample("hello", "Uvicorn on 3.13")]), tmp_path)
    told: dict[str, Any] = json.loads(path.read_text())
    for part in (told, told["samples"][0], told["samples"][0]["load"]):
        part.pop(damage, None)
    path.write_text(json.dumps(told))
    with pytest.raises(LoadTestError, match=r"results\.json is damaged: \w+Error"):
        storage.read(path)


def test_command_lines_are_kept_without_the_folders_of_one_machine() -> None:
    line = [f"{ROOT}/build/python", "-s", f"{tempfile.gettempdir()}/a/samples.csv", "--path", "/x", "/opt/python"]
    assert portable(line) == ["build/python", "-s", "a/samples.csv", "--path", "/x", "/opt/python"]
