"""The server without the library for HTTP/2, and with it where HTTP/2 is not wanted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import run_module
from support.raw_client import RawClient
from support.server_process import PACKAGE_ROOT, ServerProcess

LIBRARIES = ("h2", "hpack", "hyperframe")
# What makes them look as if they were not installed.
HIDING = f"""
import sys
from importlib.machinery import PathFinder

class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {LIBRARIES} else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Hiding
"""
APP = f"""
import sys

async def app(scope, receive, send):
    loaded = sorted(name for name in sys.modules if name.partition(".")[0] in {LIBRARIES})
    ours = sorted(name for name in sys.modules if name.startswith("threadserve.http2"))
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": repr(loaded + ours).encode()}})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project."""
    (tmp_path / "main.py").write_text(APP)
    return tmp_path


@pytest.fixture
def hidden(folder: Path) -> dict[str, str]:
    """The variables of a process for which the libraries are not installed."""
    (folder / "sitecustomize.py").write_text(HIDING)
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(PACKAGE_ROOT)])}


def test_one_line_says_what_is_missing(folder: Path, hidden: dict[str, str]) -> None:
    done = run_module("main:app", "--http2", "--port", "0", cwd=folder, **hidden)
    assert (done.returncode, done.stdout) == (2, "")
    reason = "it needs the library h2, which is not installed"
    assert done.stderr == f"Error: Invalid value for '--http2': {reason}\n"


def test_a_variable_says_so_as_well(folder: Path, hidden: dict[str, str]) -> None:
    done = run_module("main:app", "--port", "0", cwd=folder, THREADSERVE_HTTP2="true", **hidden)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_without_the_option_it_serves(folder: Path, hidden: dict[str, str]) -> None:
    with ServerProcess("main:app", cwd=folder, env=hidden) as server:
        client = RawClient(server.host, server.port)
        assert client.get().body == b"[]"
        client.close()
        assert server.stop() == 0


def test_without_the_option_nothing_of_it_is_imported(folder: Path) -> None:
    with ServerProcess("main:app", cwd=folder, env={"PYTHONPATH": str(PACKAGE_ROOT)}) as server:
        client = RawClient(server.host, server.port)
        assert client.get().body == b"[]"
        client.close()
        assert server.stop() == 0


def test_with_the_option_it_is_imported(folder: Path) -> None:
    with ServerProcess("main:app", "--http2", cwd=folder, env={"PYTHONPATH": str(PACKAGE_ROOT)}) as server:
        client = RawClient(server.host, server.port)
        loaded = client.get().body
        assert b"'h2.connection'" in loaded
        assert b"'threadserve.http2.connection'" in loaded
        client.close()
        assert server.stop() == 0


@pytest.mark.parametrize("module", ["threadserve", "threadserve.cli", "threadserve.config"])
def test_importing_the_package_imports_nothing_of_it(module: str) -> None:
    code = f"import sys, {module}\nprint([name for name in {LIBRARIES} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE_ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
