"""Which form of the server runs, where extension modules lie beside its sources."""

import shutil
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from support.command_line import run_module
from support.raw_client import RawClient
from support.server_process import ServerProcess

import threadserve
from threadserve.runtime import forms

# Tells from where the server's modules come, one of them imported only now.
APP = """
import threadserve.errors

async def app(scope, receive, send):
    import threadserve.gunicorn_options
    files = [threadserve.errors.__file__, threadserve.gunicorn_options.__file__]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": "\\n".join(files).encode()})
"""
LATE = "gunicorn_options"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with a copy of the package, in which extension modules that cannot be loaded lie beside two sources."""
    package = tmp_path / "threadserve"
    shutil.copytree(Path(threadserve.__file__).parent, package)
    (package / f"{LATE}.py").touch()
    for module in ("errors", LATE):
        (package / f"{module}{EXTENSION_SUFFIXES[0]}").write_bytes(b"no library")
    (tmp_path / "main.py").write_text(APP)
    return tmp_path


def test_extension_modules_are_loaded_unless_the_environment_asks_for_the_python_form(installed: Path) -> None:
    compiled = run_module("--version", cwd=installed, THREADSERVE_PURE="")
    assert compiled.returncode == 1
    assert compiled.stderr.splitlines()[-1].startswith("ImportError: ")
    assert f"errors{EXTENSION_SUFFIXES[0]}" in compiled.stderr
    pure = run_module("--version", cwd=installed, THREADSERVE_PURE="1")
    assert (pure.returncode, pure.stderr) == (0, "")
    assert pure.stdout.startswith(f"threadserve {threadserve.__version__} (interpreted), ")


def test_worker_processes_have_the_form_of_their_supervisor(installed: Path) -> None:
    options = ("--workers", "1", "--log-level", "debug")
    with ServerProcess("main:app", *options, env={"THREADSERVE_PURE": "1"}, cwd=installed) as server:
        client = RawClient(server.host, server.port)
        files = client.get().body.decode().splitlines()
        client.socket.close()
        assert server.stop() == 0
    assert files == [str(installed / "threadserve" / f"{module}.py") for module in ("errors", LATE)]
    assert "threadserve's own modules are interpreted.\n" in server.stderr


def test_the_form_is_compiled_where_this_interpreter_has_an_extension_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "__file__", str(tmp_path / "runtime" / "forms.py"))
    monkeypatch.setattr("sys.meta_path", [])
    (tmp_path / "http").mkdir()
    (tmp_path / "http" / "scan.cpython-27-nowhere.so").touch()
    assert forms.get_form() == "interpreted"
    (tmp_path / "http" / f"scan{EXTENSION_SUFFIXES[0]}").touch()
    assert forms.get_form() == "compiled"
    monkeypatch.setenv("THREADSERVE_PURE", "1")
    forms.choose_form()
    assert forms.get_form() == "interpreted"


@pytest.mark.parametrize(
    ("value", "is_pure"), [("1", True), ("true", True), ("", False), ("0", False), ("False", False), ("off", False)]
)
def test_the_python_form_can_be_wanted_and_not(monkeypatch: pytest.MonkeyPatch, value: str, is_pure: bool) -> None:
    monkeypatch.setenv("THREADSERVE_PURE", value)
    assert forms.is_python_form_wanted() is is_pure
