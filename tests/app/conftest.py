"""A folder with an application in it, imported as the server would, and forgotten after the test."""

import asyncio
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from support.probed_app import Probe, probe_all
from support.waiting import DEADLINE

from threadserve.app.loading import AppLoader
from threadserve.config import Config
from threadserve.types import ASGIApp


class Project:
    """A folder of modules. It is the working directory and the application's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loaders: list[AppLoader] = []

    def write(self, path: str, source: str = "") -> Path:
        """Writes a file, and the folders around it."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source))
        return file

    def loader(self, app: Any, **settings: Any) -> AppLoader:
        """Where the threads of a server with these settings would load from."""
        self.loaders.append(AppLoader(Config(app, **{"threads": 2, **settings})))
        return self.loaders[-1]

    def load(self, app: Any, **settings: Any) -> ASGIApp:
        """Loads for the first thread."""
        return load(self.loader(app, **settings))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """An empty folder; what is imported from it is forgotten when the test is over."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    project = Project(folder)
    yield project
    for loader in project.loaders:
        loader.stop(DEADLINE)
    for name in set(sys.modules) - before:
        module = vars(sys.modules[name])
        if str(tmp_path) in f"{module.get('__file__')} {module.get('__path__')}":
            del sys.modules[name]


numbers = count(1)


def load(loader: AppLoader) -> ASGIApp:
    """Loads as a loop thread does: in a running loop."""

    async def main() -> ASGIApp:
        return loader.load_threadsafe(next(numbers))

    return asyncio.run(main())


def on_threads(number: int, action: Callable[[], Any]) -> list[Any]:
    """Runs something on so many threads at once; returns what each returned or raised."""
    barrier = threading.Barrier(number)
    results: list[Any] = []

    def run() -> None:
        barrier.wait(DEADLINE)
        try:
            results.append(action())
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(results) == number, "a thread did not end in time"
    return results


@pytest.fixture
def load_on_threads() -> Callable[[AppLoader, int], list[Any]]:
    """`load_on_threads(loader, count)` loads on so many threads at once; returns what each got or what it raised."""
    return lambda loader, count: on_threads(count, lambda: load(loader))


@pytest.fixture(name="load")
def load_fixture() -> Callable[[AppLoader], ASGIApp]:
    """`load(loader)` loads once more, on this thread."""
    return load


@pytest.fixture(name="probe_all")
def probe_all_fixture() -> Probe:
    """`probe_all(loader)` loads on three threads, and calls `app.probe()` on each when all have loaded."""
    return probe_all
