"""Programs that run the server at the end of the application's module, without asking whether that is imported."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.editable_site import environment
from support.raw_client import RawClient
from support.server_process import ServerProcess
from support.waiting import DEADLINE

PROGRAM = """
import threadserve
from support.apps import hello

async def app(scope, receive, send):
    await hello(scope, receive, send)

{call}
"""

RUN = "threadserve.run({app!r}, port=0{settings})"
SERVER = "threadserve.Server(threadserve.Config({app!r}, port=0{settings})).run()"
IGNORED = "main:app asks for a server while it is imported"

Start = Callable[..., ServerProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(call, *command)` writes a `main.py` that ends with this call, and runs a command until it serves."""
    with ExitStack() as stack:

        def start_one(call: str, *command: str) -> ServerProcess:
            (tmp_path / "main.py").write_text(PROGRAM.format(call=call))
            server = ServerProcess("main:app", cwd=tmp_path, env={**environment(tmp_path), "WEB_CONCURRENCY": ""})
            if command:
                server.command = [server.command[0], *command]
            stack.callback(lambda: server.kill() if hasattr(server, "process") else None)
            server.start()
            return server

        yield start_one


def assert_serves_and_stops(server: ServerProcess) -> None:
    client = RawClient(server.host, server.port)
    try:
        assert client.get("/here").body == b"/here"
    finally:
        client.close()
    assert server.stop(deadline=2 * DEADLINE) == 0
    assert server.stderr.count("running on") == 1
    assert "Traceback" not in server.stderr


@pytest.mark.parametrize(
    ("settings", "warnings"),
    [("", 1), (", threads=2", 1), (", workers=2", 2), (", workers=1", 1), (", reload=True", 1)],
)
def test_a_program_that_names_its_own_module_serves(start: Start, settings: str, warnings: int) -> None:
    server = start(RUN.format(app="main:app", settings=settings), "main.py")
    assert_serves_and_stops(server)
    assert server.stderr.count(IGNORED) == warnings


@pytest.mark.parametrize("settings", ["", ", workers=2", ", reload=True"])
def test_a_program_that_names_itself_serves(start: Start, settings: str) -> None:
    server = start(RUN.format(app="__main__:app", settings=settings), "main.py")
    assert_serves_and_stops(server)
    assert IGNORED not in server.stderr


@pytest.mark.parametrize(
    "call",
    [
        RUN.format(app="main:app", settings=", threads=2"),
        "threadserve.run(app)",
        SERVER.format(app="main:app", settings=""),
    ],
)
def test_the_command_serves_what_would_serve_itself(start: Start, call: str) -> None:
    server = start(call)
    assert_serves_and_stops(server)
    assert server.stderr.count(IGNORED) == 1


def test_a_server_as_an_object_serves(start: Start) -> None:
    assert_serves_and_stops(start(SERVER.format(app="main:app", settings=""), "main.py"))
