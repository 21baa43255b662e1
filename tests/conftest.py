"""Fixtures for all tests: servers that are stopped and checked, clients that are closed, errors to be claimed."""

import logging
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir

import pytest
from hypothesis import HealthCheck, settings
from support.embedded_server import Serve, servers
from support.error_log import ErrorLog
from support.extension_modules import build_extension
from support.raw_client import Connect, clients
from support.waiting import DEADLINE

from threadserve.runtime.cpus import count_usable_cpus
from threadserve.runtime.gil import is_free_threaded_build, is_gil_enabled
from threadserve.threads import handover

# A shell that starts the tests in the background has SIGINT ignored by all that they start, and `nohup` SIGHUP.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# It says what the tests are run with, and is none of the server's options.
os.environ.pop("THREADSERVE_FREE_THREADED_PYTHON", None)

# How long an example takes says nothing of what it is an example of, and the same tests try the same ones every time.
settings.register_profile("repeatable", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")


def pytest_configure(config: pytest.Config) -> None:
    """Give Python a folder in pytest's cache for bytecode, where it may write none beside the sources.

    Otherwise each of the processes that tests start compiles all that it imports, which is half of its start.
    """
    # There is no such folder where the whole tree is read-only.
    if hasattr(config, "cache") and os.environ.get("PYTHONDONTWRITEBYTECODE"):
        with suppress(OSError):
            folder = config.cache.mkdir("bytecode")
            # Of the modules that the tests wrote when they ran before.
            shutil.rmtree(folder / Path(gettempdir()).relative_to("/"), ignore_errors=True)
            os.environ["PYTHONPYCACHEPREFIX"] = str(folder)
            del os.environ["PYTHONDONTWRITEBYTECODE"]


def pytest_xdist_auto_num_workers() -> int:
    """Return the number of processes for `-n auto`: tests mostly wait, so that three keep a CPU busy.

    Two without the GIL: there Python gives up the CPU while it waits for a lock, and gets it back late from others.
    """
    return (2 if is_free_threaded_build() else 3) * count_usable_cpus()


@pytest.fixture(scope="session", autouse=True)
def gil_stays_off() -> Iterator[None]:
    """Fail if anything that the tests import turns the GIL on."""
    yield
    assert not (is_free_threaded_build() and is_gil_enabled()), "the tests turned the GIL on"


@pytest.fixture(scope="module")
def all_errors() -> Iterator[ErrorLog]:
    """The handler that collects errors for all tests of a module that use servers; tests use `error_log`."""
    log = ErrorLog()
    logging.getLogger().addHandler(log)
    yield log
    logging.getLogger().removeHandler(log)
    log.check()


@pytest.fixture
def error_log(all_errors: ErrorLog) -> Iterator[ErrorLog]:
    """The errors logged during a test, which fails if it leaves one unclaimed."""
    yield all_errors
    all_errors.check()


@pytest.fixture
def serve(error_log: ErrorLog) -> Iterator[Serve]:
    """`serve(app, **settings)` starts a server for this test."""
    with servers() as start:
        yield start


@pytest.fixture(scope="module")
def serve_shared(all_errors: ErrorLog) -> Iterator[Serve]:
    """`serve_shared(app, **settings)` starts a server for all tests of a module."""
    with servers() as start:
        yield start


@pytest.fixture
def connect(serve: Serve) -> Iterator[Connect]:
    """`connect(server)` opens a connection to a server; it is closed before the server is stopped."""
    with clients() as open_client:
        yield open_client


@pytest.fixture
def no_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that the system does not run for a while does not count as stalled."""
    monkeypatch.setattr(handover, "STALL_SECONDS", DEADLINE)


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> str:
    """The event loop, for tests of what rests on its transports: `serve(app, loop=loop)`."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    return str(request.param)


@pytest.fixture(scope="session")
def extensions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the module `unready`, which needs the GIL, and `ready`, which does not."""
    folder = tmp_path_factory.mktemp("extensions")
    build_extension(folder, "unready")
    build_extension(folder, "ready", "-DREADY")
    return folder
