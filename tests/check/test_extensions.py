"""Extension modules, real ones, and the wheels that installed distributions came from, which are made up."""

import os
import sys
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest
from support.extension_modules import needs_free_threading

from threadserve.check.extensions import lacks_free_threaded_build
from threadserve.runtime.gil import is_free_threaded_build

BARE = "\nasync def app(scope, receive, send): assert scope['type'] == 'http'\n"


def with_path(*folders: Path) -> str:
    """A PYTHONPATH with these folders before what the tests run with."""
    return os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", ""), *sys.path])


@needs_free_threading
def test_what_turns_the_gil_on_is_named_with_its_file(project: Any, extensions: Path) -> None:
    project.write("main.py", f"import ready, unready\n{BARE}")
    [found] = project.found("gil-on", "main:app", PYTHONPATH=with_path(extensions))
    assert found["level"] == "break"
    assert found["message"] == "Importing unready turns the GIL on, so threads take turns."
    assert Path(found["file"]).parent == extensions
    [found] = project.found("gil-on", "main:app", "--threads", "1", PYTHONPATH=with_path(extensions))
    assert found["level"] == "warn"


@needs_free_threading
def test_without_its_warning_it_is_named_as_well(project: Any, extensions: Path) -> None:
    project.write("main.py", f"import warnings\nwarnings.simplefilter('ignore')\nimport unready\n{BARE}")
    [found] = project.found("gil-on", "main:app", PYTHONPATH=with_path(extensions))
    assert (found["level"], "unready" in found["message"]) == ("break", True)


@needs_free_threading
def test_a_gil_that_is_kept_off_or_on_by_the_user_is_nobodys_fault(project: Any, extensions: Path) -> None:
    project.write("main.py", f"import unready\n{BARE}")
    path = with_path(extensions)
    assert project.found("gil-on", "main:app", PYTHONPATH=path, PYTHON_GIL="0") == []
    report = project.check("main:app", "--threads", "2", PYTHONPATH=path, PYTHON_GIL="1")
    codes = {each["code"] for each in report["findings"]}
    assert "threads-with-gil" in codes
    assert "gil-on" not in codes


def test_what_is_ready_is_not_named(project: Any, extensions: Path) -> None:
    project.write("main.py", f"import ready\n{BARE}")
    assert project.found("gil-on", "main:app", PYTHONPATH=with_path(extensions)) == []


def install(folder: Path, name: str, *tags: str) -> None:
    """Notes that a distribution has put the extension module `ready` there."""
    noted = folder / f"{name.replace('-', '_')}-1.5.dist-info"
    noted.mkdir()
    (noted / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    (noted / "top_level.txt").write_text("ready\n")
    (noted / "WHEEL").write_text("Wheel-Version: 1.0\n" + "".join(f"Tag: {tag}\n" for tag in tags))


def test_a_distribution_without_a_free_threaded_build_is_named(project: Any, extensions: Path, tmp_path: Path) -> None:
    install(tmp_path, "some-library", "cp311-cp311-manylinux_2_17_x86_64")
    project.write("main.py", f"import ready\n{BARE}")
    [found] = project.found("not-free-threaded", "main:app", PYTHONPATH=with_path(extensions, tmp_path))
    assert "some-library 1.5" in found["message"]
    assert found["level"] == ("warn" if is_free_threaded_build() else "note")


@pytest.mark.parametrize(
    ("tags", "lacks"),
    [
        (["cp313-cp313-manylinux_2_17_x86_64"], True),
        (["cp311-abi3-manylinux_2_17_x86_64"], True),
        (["cp313-cp313t-manylinux_2_17_x86_64"], False),
        (["cp314-cp314td-linux_x86_64"], False),
        (["cp315-abi3.abi3t-linux_x86_64"], False),
        (["cp313-cp313-linux_x86_64", "cp313-cp313t-linux_x86_64"], False),
        (["py3-none-any"], False),
        (["py2.py3-none-manylinux_2_17_x86_64"], False),
        ([], False),
    ],
)
def test_the_build_is_told_by_the_tags_of_the_wheel(tmp_path: Path, tags: list[str], lacks: bool) -> None:
    install(tmp_path, "some-library", *tags)
    assert lacks_free_threaded_build(Distribution.at(tmp_path / "some_library-1.5.dist-info")) is lacks
