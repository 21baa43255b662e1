"""Which files the reloader watches, by reload_dirs, reload_includes and reload_excludes."""

import logging
from pathlib import Path
from typing import Any

import pytest

from threadserve import Config
from threadserve.workers.reload_patterns import ReloadPatterns


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a few files."""
    for name in (
        "main.py",
        "notes.txt",
        ".env",
        ".hidden.py",
        "~lock.py",
        "app/main.py",
        "app/deep/down/x.py",
        "app/page.html",
        "lib/util.py",
        ".venv/pyvenv.cfg",
        ".venv/lib/site.py",
        ".git/hooks/hook.py",
        "node_modules/tool.py",
        "app/__pycache__/main.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def patterns(**settings: Any) -> ReloadPatterns:
    """The patterns of a configuration."""
    return ReloadPatterns(Config("main:app", reload=True, **settings))


def seen(here: Path, **settings: Any) -> set[str]:
    """The files that are watched; both ways of asking have to agree."""
    chosen = patterns(**settings)
    found = {str(path.relative_to(here)) for path in chosen.files()}
    everything = {path for path in here.rglob("*") if path.is_file()}
    below = {path for path in everything if any(path.is_relative_to(folder) for folder in chosen.folders)}
    assert found == {str(path.relative_to(here)) for path in below if chosen.is_watched(path)}
    return found


PYTHON = {"main.py", "app/main.py", "app/deep/down/x.py", "lib/util.py"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, PYTHON),
        ({"reload_dirs": ["app"]}, {"app/main.py", "app/deep/down/x.py"}),
        ({"reload_dirs": "lib"}, {"lib/util.py"}),
        ({"reload_dirs": ["app", "app/deep", "lib"]}, PYTHON - {"main.py"}),
        ({"reload_includes": ["*.txt"]}, PYTHON | {"notes.txt"}),
        ({"reload_includes": ["app/*.html"]}, PYTHON | {"app/page.html"}),
        ({"reload_includes": [".env"]}, PYTHON | {".env"}),
        ({"reload_includes": [".*"]}, PYTHON | {".env", ".hidden.py"}),
        ({"reload_includes": ["app"]}, {"app/main.py", "app/deep/down/x.py"}),
        ({"reload_includes": ["*.html"], "reload_excludes": ["*.py"]}, {"app/page.html"}),
        ({"reload_excludes": ["app"]}, {"main.py", "lib/util.py"}),
        ({"reload_excludes": ["app/*"]}, PYTHON - {"app/main.py", "app/deep/down/x.py"}),
        ({"reload_excludes": ["main.py"]}, PYTHON - {"main.py", "app/main.py"}),
        ({"reload_excludes": ["app/deep/down"]}, PYTHON - {"app/deep/down/x.py"}),
        ({"reload_dirs": [".venv/lib"]}, {".venv/lib/site.py"}),
        ({"reload_includes": [""], "reload_excludes": [""]}, PYTHON),
    ],
)
def test_what_is_watched(here: Path, settings: dict[str, Any], expected: set[str]) -> None:
    assert seen(here, **settings) == expected


def test_an_excluded_folder_is_not_watched_at_all(here: Path) -> None:
    assert patterns(reload_dirs=["app", "lib"], reload_excludes=["app"]).folders == [here / "lib"]


def test_a_folder_below_another_is_watched_once(here: Path) -> None:
    assert patterns(reload_dirs=[str(here), "app", "."]).folders == [here]


def test_a_folder_that_there_is_not(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "threadserve.error"):
        assert patterns(reload_dirs=["ap"]).folders == [here]
    assert caplog.messages == ["There is no folder 'ap' to watch for changes."]


def test_links_to_folders_are_followed_and_loops_are_not(here: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "linked.py").touch()
    (here / "link").symlink_to(elsewhere)
    (here / "app" / "loop").symlink_to(here)
    found = [path.relative_to(here) for path in patterns().files()]
    assert Path("link/linked.py") in found
    assert len(found) == len(PYTHON) + 1
