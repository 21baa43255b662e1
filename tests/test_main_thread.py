"""What an application may do because a lone loop runs on the main thread, and what more threads make of that."""

import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from textwrap import indent

import pytest
from support.editable_site import environment
from support.processes import has_ended, wait_for_sleep
from support.raw_client import RawClient, clients
from support.server_process import ServerProcess
from support.steered_app import BLOCKS

APP = """
import asyncio
import os
import signal
import sys
import threading

def tell(text):
    # In one piece, beside the access log.
    os.write(1, f"{text}\\n".encode())

def leave(number, frame=None):
    tell(f"leaving because of {int(number)}")
    sys.exit(7)

AT_IMPORT

async def start_up():
IN_START_UP

async def answer():
IN_REQUEST

async def app(scope, receive, send):
    if scope["type"] == "http":
        body = str(await answer()).encode()
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})
        return
    await receive()
    await start_up()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    tell("down")
    await send({"type": "lifespan.shutdown.complete"})

def create_app():
    asyncio.get_running_loop()
    return app
"""
LOOPS = pytest.mark.parametrize("loop", ["uvloop", "asyncio"])

Start = Callable[..., ServerProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(*options, at_import=…)` serves an application with that code at its places."""
    with ExitStack() as stack:

        def start_one(
            *options: str,
            at_import: str = "",
            in_start_up: str = "pass",
            in_request: str = "return threading.current_thread() is threading.main_thread()",
            app: str = "site_app:app",
            wait: bool = True,
        ) -> ServerProcess:
            code = APP.replace("AT_IMPORT", at_import)
            code = code.replace("IN_START_UP", indent(in_start_up, "    "))
            (tmp_path / "site_app.py").write_text(code.replace("IN_REQUEST", indent(in_request, "    ")))
            server = ServerProcess(app, *options, cwd=tmp_path, env={**environment(tmp_path), "WEB_CONCURRENCY": ""})
            stack.callback(lambda: server.kill() if hasattr(server, "process") else None)
            server.start(wait=wait)
            return server

        yield start_one


def get(server: ServerProcess) -> str:
    """What the application answers."""
    with clients() as connect:
        return connect(server).get().body.decode()


STATE = """
try:
    asyncio.run(asyncio.sleep(0))
    tell("asyncio.run works")
except RuntimeError:
    tell("a loop runs")
tell(threading.current_thread() is threading.main_thread())
"""


@pytest.mark.parametrize(
    ("options", "app", "told", "code"),
    [
        ((), "app", "asyncio.run works", 7),
        (("--loop", "asyncio"), "app", "asyncio.run works", 7),
        (("--factory",), "create_app", "asyncio.run works", 7),
        (("--workers", "1"), "app", "a loop runs", 0),
        (("--reload",), "app", "a loop runs", 0),
    ],
    ids=["single", "asyncio", "factory", "worker", "reload"],
)
def test_the_application_is_imported_where_uvicorn_imports_it_and_its_handler_called_after_the_stop(
    start: Start, options: tuple[str, ...], app: str, told: str, code: int
) -> None:
    """A factory is called while the loop runs."""
    server = start(*options, app=f"site_app:{app}", at_import=f"{STATE}\nsignal.signal(signal.SIGTERM, leave)")
    assert server.stdout.splitlines()[:2] == [told, "True"]
    assert get(server) == "True"
    assert server.stop() == code
    assert re.search(r"down\n(.*\n)*leaving because of 15\n", server.stdout), server.stderr + server.stdout
    assert "Traceback" not in server.stderr


ADD = {
    "signal": "signal.signal(signal.SIGTERM, leave)",
    "loop": "asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave, signal.SIGTERM)",
}


@LOOPS
@pytest.mark.parametrize("how", ADD)
def test_a_handler_that_is_set_in_the_lifespan_may_end_the_server(start: Start, loop: str, how: str) -> None:
    # No request: one that runs when the handler raises takes that for an error of its own, as under Uvicorn.
    server = start("--loop", loop, in_start_up=ADD[how])
    assert server.stop() == 7
    assert server.stdout.count("leaving because of 15\n") == server.stdout.count("down\n") == 1
    assert "died" not in server.stderr
    assert "Traceback" not in server.stderr


@LOOPS
def test_a_request_may_start_a_process_and_other_signals_are_the_applications_own(start: Start, loop: str) -> None:
    add = "asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, tell, 'told')"
    run = """process = await asyncio.create_subprocess_exec("echo", "of a child", stdout=-1)
out, _ = await process.communicate()
return f"{out.decode().strip()} {process.returncode}"
"""
    server = start("--loop", loop, in_start_up=add, in_request=run)
    server.send_signal(signal.SIGUSR2)
    server.wait_for_line("told", "stdout")
    assert get(server) == "of a child 0"
    assert server.stop(signal.SIGINT) == 0
    assert "down" in server.stdout


FORK = """
import multiprocessing, time, warnings

def child():
    tell("child")
    time.sleep(60)

warnings.simplefilter("ignore")  # that others of its threads are not in the child
process = multiprocessing.get_context("fork").Process(target=child, daemon=True)
process.start()
return process.pid
"""


@LOOPS
@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_forked_process_can_be_ended(start: Start, loop: str, threads: str) -> None:
    server = start("--loop", loop, "--threads", threads, in_request=FORK)
    pid = int(get(server))
    server.wait_for_line("child", "stdout")
    # Which ends its children.
    assert server.stop() == 0
    assert has_ended(pid)
    assert server.stderr.count("Shutting down") == 1


DIE = """
async def die():
    raise {error}

tasks = []
"""
DIE_ONCE = """
if not tasks:
    tasks.append(asyncio.ensure_future(die()))
    await asyncio.sleep(60)
return threading.current_thread() is threading.main_thread()
"""


@LOOPS
@pytest.mark.parametrize("error", ["SystemExit(3)", "KeyboardInterrupt()"])
def test_a_loop_that_the_application_kills_is_replaced_on_the_main_thread(start: Start, loop: str, error: str) -> None:
    server = start("--loop", loop, at_import=DIE.format(error=error), in_request=DIE_ONCE)
    client = RawClient(server.host, server.port)
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    server.wait_for_line(r"CRITICAL: +Loop thread 1 died\.")
    client.close()
    assert get(server) == "True"
    assert server.stop() == 0
    assert server.stderr.count("died") == 1


@pytest.mark.parametrize("options", [(), ("--workers", "1")], ids=["single", "worker"])
@pytest.mark.parametrize("block", BLOCKS)
def test_an_import_that_blocks_is_cut_off(start: Start, block: str, options: tuple[str, ...]) -> None:
    at_import = f"tell('importing')\nfrom support.steered_app import BLOCKS\nBLOCKS[{block!r}]()"
    server = start(*options, at_import=at_import, wait=False)
    server.wait_for_line("importing", "stdout")
    if block != "spin":
        wait_for_sleep(server.pid)
    assert server.stop(deadline=15) == 128 + signal.SIGTERM
    server.wait_for_line("Loop thread 1 does not end: the application's import goes on. Exiting without it.$")
    assert "Traceback" not in server.stderr


INTERRUPTED = """
import sys, time
from contextlib import contextmanager
from threadserve import Config, Server

class QuietServer(Server):
    @contextmanager
    def capture_signals(self):
        yield

async def app(scope, receive, send):
    if scope["type"] == "http":
        print("blocking", flush=True)
        time.sleep(60)
    for _ in range(2):
        message = await receive()
        await send({"type": message["type"] + ".complete"})
    print("down", flush=True)

try:
    QuietServer(Config(app, port=0)).run()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("blocked", [False, True])
def test_ctrl_c_that_the_server_does_not_handle_stops_it_and_reaches_the_program(tmp_path: Path, blocked: bool) -> None:
    (tmp_path / "program.py").write_text(INTERRUPTED)
    server = ServerProcess("", cwd=tmp_path)
    server.command = [sys.executable, "program.py"]
    with server, clients() as connect:
        if blocked:
            connect(server).send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            server.wait_for_line("blocking", "stdout")
            server.send_signal(signal.SIGINT)
            server.wait_for_line("Shutting down")
        assert server.stop(signal.SIGINT) == 0
    assert server.stdout.split()[-1] == "interrupted"
    assert blocked or "down" in server.stdout
    assert "running on" in server.stderr


ONE_THREAD = r"Python lets the main thread alone .* --threads 1"


def test_with_more_threads_a_handler_at_import_is_one_line_with_the_remedy(start: Start) -> None:
    server = start("--threads", "2", at_import="signal.signal(signal.SIGTERM, leave)", wait=False)
    assert server.wait() == 1
    assert re.search(rf"^Error: site_app:app cannot be imported: ValueError: .*{ONE_THREAD}", server.stderr, re.M)


@LOOPS
@pytest.mark.parametrize("how", ADD)
def test_with_more_threads_a_handler_in_the_lifespan_stops_the_start(start: Start, loop: str, how: str) -> None:
    server = start("--threads", "2", "--loop", loop, in_start_up=ADD[how], wait=False)
    assert server.wait() == 3
    assert re.search(ONE_THREAD, server.stderr)
    assert "unsupported" not in server.stderr
    assert re.search("^Error: the application's startup failed: ", server.stderr, re.M)
