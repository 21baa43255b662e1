"""Noticing changes: both watchers see the same."""

import shutil
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.waiting import DEADLINE, wait_until

from threadserve import Config
from threadserve.workers.reload_patterns import ReloadPatterns
from threadserve.workers.reloader import StopRequest
from threadserve.workers.watchers import ModificationTimes, Watcher, WatchFiles, make_watcher

HAS_WATCHFILES = find_spec("watchfiles") is not None
DELAY = 0.05


@pytest.fixture
def stop() -> Iterator[StopRequest]:
    request = StopRequest()
    yield request
    request.close()


@pytest.fixture(
    params=[
        pytest.param(
            WatchFiles, marks=pytest.mark.skipif(not HAS_WATCHFILES, reason="watchfiles is not installed here")
        ),
        ModificationTimes,
    ]
)
def watcher(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: StopRequest
) -> Watcher:
    """A watcher of a working directory with two modules of the same name, which has begun to watch."""
    monkeypatch.chdir(tmp_path)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "views.py").write_text("old")
    kind: Callable[[ReloadPatterns, float, StopRequest], Watcher] = request.param
    made = kind(ReloadPatterns(Config("main:app", reload=True)), DELAY, stop)
    # What the system has not reported yet is from before.
    while made.wait_for_changes():
        pass
    return made


def seen(watcher: Watcher, count: int = 1, edit: Callable[[], None] = lambda: None) -> set[str]:
    """The files that the next changes concern, so many of them at least; `edit` is made before each look."""
    found: set[str] = set()

    def look() -> bool:
        edit()
        found.update(str(path.relative_to(Path.cwd())) for path in watcher.wait_for_changes())
        return len(found) >= count

    wait_until(look, f"{count} changes")
    return found


def test_an_edited_file(watcher: Watcher) -> None:
    Path("two/views.py").write_text("new and longer")
    assert seen(watcher) == {"two/views.py"}


def test_a_file_that_is_replaced_by_an_older_one(watcher: Watcher, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("editor") / "views.py"
    shutil.copy2("one/views.py", other)
    other.replace("one/views.py")
    assert seen(watcher) == {"one/views.py"}


def test_a_created_file_and_one_in_a_new_folder(watcher: Watcher) -> None:
    Path("three.py").touch()
    assert seen(watcher) == {"three.py"}
    Path("new/deep").mkdir(parents=True)
    assert not watcher.wait_for_changes()
    # The system may not yet report what is in a folder that has just been made.
    assert seen(watcher, edit=Path("new/deep/four.py").touch) == {"new/deep/four.py"}


def test_a_deleted_file(watcher: Watcher) -> None:
    Path("one/views.py").unlink()
    assert seen(watcher) == {"one/views.py"}


def test_a_moved_file(watcher: Watcher) -> None:
    Path("one/views.py").rename("one/models.py")
    assert seen(watcher, 2) == {"one/views.py", "one/models.py"}


def test_a_file_that_does_not_match(watcher: Watcher) -> None:
    Path("notes.txt").touch()
    Path("one/.views.py.swp").touch()
    Path("one/__pycache__").mkdir()
    Path("one/__pycache__/views.py").touch()
    for _ in range(3):
        assert not watcher.wait_for_changes()


def test_two_files_of_the_same_name(watcher: Watcher) -> None:
    for folder in ("one", "two"):
        Path(folder, "views.py").write_text("new and longer")
    assert seen(watcher, 2) == {"one/views.py", "two/views.py"}


def test_a_request_to_stop_ends_the_waiting(watcher: Watcher, stop: StopRequest) -> None:
    stop.set()
    begun = time.monotonic()
    assert not watcher.wait_for_changes()
    assert time.monotonic() - begun < DEADLINE


def test_watchfiles_is_taken_where_it_is_installed(stop: StopRequest, tmp_path: Path) -> None:
    made = make_watcher(ReloadPatterns(Config("main:app", reload=True, reload_dirs=[str(tmp_path)])), DELAY, stop)
    assert made.name == ("WatchFiles" if HAS_WATCHFILES else "modification times")


@pytest.mark.skipif(not HAS_WATCHFILES, reason="watchfiles is not installed here")
def test_modification_times_are_taken_where_the_system_cannot_watch(
    stop: StopRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: object) -> None:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr("watchfiles.main.RustNotify", refuse)
    monkeypatch.chdir(tmp_path)
    made = make_watcher(ReloadPatterns(Config("main:app", reload=True)), DELAY, stop)
    assert made.name == "modification times"
    assert caplog.messages == ["watchfiles cannot watch these directories: OS file watch limit reached"]
