"""The warning when the GIL is on on a free-threaded build, with real extension modules and with a simulated build."""

import functools
import os
import subprocess
import sys
import sysconfig
import textwrap
import warnings
from pathlib import Path
from types import ModuleType

import pytest
from support.extension_modules import needs_free_threading

from threadserve.runtime import gil
from threadserve.runtime.gil import GilGuard, is_free_threaded_build, is_gil_enabled

NAMED = (
    "WARNING threadserve.error The GIL is on, so threads take turns: it was turned on to load the module 'unready', "
    "which does not declare that it runs without it. A newer version may; PYTHON_GIL=0 keeps the GIL off at your own "
    "risk\n"
)


def run_guarded(extensions: Path, body: str, *python_options: str, **env: str) -> str:
    """Runs `body` with a `guard` in a process of its own; returns its stderr."""
    script = f"""
import logging, sys, threading, warnings
from threadserve.runtime.gil import GilGuard, is_gil_enabled
logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
guard = GilGuard()
{textwrap.dedent(body)}
"""
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHON_GIL", "PYTHONWARNINGS")}
    python_path = os.pathsep.join([str(extensions), *sys.path])
    done = subprocess.run(
        [sys.executable, *python_options, "-c", script],
        env={**inherited, "PYTHONPATH": python_path, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@needs_free_threading
def test_the_module_that_turns_the_gil_on_is_named(extensions: Path) -> None:
    body = """
        guard.install()
        import unready
        guard.check()
        guard.check()
    """
    stderr = run_guarded(extensions, body)
    assert stderr.endswith(NAMED)
    assert stderr.count("threadserve.error") == 1
    assert stderr.count("RuntimeWarning") == 1


@needs_free_threading
def test_the_gil_that_comes_back_later_is_noticed(extensions: Path) -> None:
    body = """
        guard.install()
        import ready
        for _ in range(3):
            guard.check()
        print("serving", file=sys.stderr)
        importer = threading.Thread(target=__import__, args=("unready",))
        importer.start()
        importer.join()
        guard.check()
        guard.check()
    """
    stderr = run_guarded(extensions, body)
    assert stderr.startswith("serving\n")
    assert stderr.endswith(NAMED)
    assert stderr.count("threadserve.error") == 1


@needs_free_threading
def test_without_its_warning_the_module_is_found_among_the_new_ones(extensions: Path) -> None:
    body = """
        import ready
        guard.install()
        guard.check()
        import unready
        guard.check()
        guard.check()
    """
    assert run_guarded(extensions, body, "-W", "ignore::RuntimeWarning") == (
        "WARNING threadserve.error The GIL is on, so threads take turns: one of these modules turned it on: unready\n"
    )


@needs_free_threading
def test_a_module_from_before_the_guard_is_found(extensions: Path) -> None:
    body = """
        import ready, unready
        guard.install()
        guard.check()
    """
    stderr = run_guarded(extensions, body, "-W", "ignore::RuntimeWarning")
    assert stderr.startswith("WARNING threadserve.error The GIL is on, so threads take turns: one of these modules ")
    assert stderr.endswith(" ready, unready\n")


@needs_free_threading
@pytest.mark.parametrize(
    ("options", "env", "culprit"),
    [((), {"PYTHON_GIL": "1"}, "PYTHON_GIL=1"), (("-X", "gil=1"), {}, "-X gil=1")],
)
def test_a_gil_that_was_asked_for(
    extensions: Path, options: tuple[str, ...], env: dict[str, str], culprit: str
) -> None:
    assert run_guarded(extensions, "guard.install(); import unready; guard.check()", *options, **env) == (
        f"WARNING threadserve.error The GIL is on, so threads take turns: {culprit} asks for it\n"
    )


@needs_free_threading
def test_a_gil_that_is_kept_off(extensions: Path) -> None:
    body = "guard.install(); import unready; guard.check(); guard.check(); assert not is_gil_enabled()"
    assert run_guarded(extensions, body, PYTHON_GIL="0") == ""


@pytest.mark.skipif(is_free_threaded_build(), reason="this build can run without the GIL")
def test_a_build_with_the_gil_is_not_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    before = warnings.showwarning
    guard = GilGuard()
    guard.install()
    assert warnings.showwarning is before
    guard.check()
    guard.check()
    guard.uninstall()
    assert is_gil_enabled()
    assert not caplog.records


class Build:
    """A free-threaded build whose GIL a test turns on."""

    has_gil = False
    shown: list[str]


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Build:
    build = Build()
    build.shown = []
    monkeypatch.setattr(gil, "is_free_threaded_build", lambda: True)
    monkeypatch.setattr(gil, "is_gil_enabled", lambda: build.has_gil)
    monkeypatch.setattr(gil, "find_gil_option", str)
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_: build.shown.append(str(message)))
    return build


def show_warning(text: str) -> None:
    warnings.showwarning(RuntimeWarning(text), RuntimeWarning, __file__, 1)


def turn_gil_on(build: Build, name: str = "package.unready") -> None:
    build.has_gil = True
    show_warning(f"The global interpreter lock (GIL) has been enabled to load module '{name}', which has not declared")


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "threadserve.error"]


def test_a_warning_is_passed_on_and_its_module_named_at_once(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    guard = GilGuard()
    guard.install()
    show_warning("something else")
    turn_gil_on(build)
    guard.check()
    guard.check()
    assert len(messages(caplog)) == 1
    assert "'package.unready'" in messages(caplog)[0]
    assert build.shown[0] == "something else"
    assert len(build.shown) == 2


def test_the_moment_of_an_import_is_no_alarm(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    guard = GilGuard()
    guard.install()
    for build.has_gil in (False, True, False, True, False):
        guard.check()
    assert not messages(caplog)
    build.has_gil = True
    guard.check()
    guard.check()
    assert messages(caplog) == ["The GIL is on, so threads take turns: which module turned it on is not known"]


def test_the_servers_own_modules_are_no_candidates(
    build: Build, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = GilGuard()
    guard.install()
    for name in ("extension", "threadserve.compiled"):
        module = ModuleType(name)
        module.__file__ = f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
        monkeypatch.setitem(sys.modules, name, module)
    build.has_gil = True
    guard.check()
    guard.check()
    assert messages(caplog) == ["The GIL is on, so threads take turns: one of these modules turned it on: extension"]


def test_many_candidates_are_cut_short(
    build: Build, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = GilGuard()
    guard.install()
    for number in range(12):
        module = ModuleType(f"extension{number:02}")
        module.__file__ = f"extension{sysconfig.get_config_var('EXT_SUFFIX')}"
        monkeypatch.setitem(sys.modules, module.__name__, module)
    build.has_gil = True
    guard.check()
    guard.check()
    assert messages(caplog)[0].endswith(
        ": extension00, extension01, extension02, extension03, extension04, "
        "extension05, extension06, extension07, extension08, extension09 and 2 more"
    )


def test_uninstall_puts_the_hook_back(build: Build) -> None:
    before = warnings.showwarning
    guard = GilGuard()
    guard.install()
    assert warnings.showwarning is not before
    guard.uninstall()
    assert warnings.showwarning is before


def test_uninstall_leaves_a_later_hook_which_may_still_call_ours(build: Build) -> None:
    guard = GilGuard()
    guard.install()
    ours = warnings.showwarning

    later = functools.partial(ours)
    warnings.showwarning = later
    guard.uninstall()
    assert warnings.showwarning is later
    show_warning("after the end")
    assert build.shown == ["after the end"]
