"""The end of a process whose application has left something at work that Python waits for."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.editable_site import environment
from support.processes import wait_for_sleep
from support.server_process import ServerProcess

APP = """
import multiprocessing, os, queue, threading, time, warnings
from threadserve.runtime import exiting

warnings.simplefilter("ignore")  # that a process is forked beside threads
exiting.EXIT_GRACE_SECONDS = {grace}

def briefly():
    exiting.EXIT_GRACE_SECONDS = 60
    time.sleep(0.1)
    os.write(1, b"at its end\\n")

def sleep():
    # Or the test would wait for it, to read what it writes.
    os.close(1), os.close(2)
    time.sleep(60)

LEFT = {{
    "thread": lambda: threading.Thread(target=queue.Queue().get, name="stray").start(),
    "process": lambda: multiprocessing.get_context("fork").Process(target=sleep).start(),
    "brief": lambda: threading.Thread(target=briefly).start(),
}}

async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await send({{"type": "lifespan.startup.complete"}})
    await receive()
    LEFT[{left!r}]()
    await send({{"type": "lifespan.shutdown.complete"}})
"""
Start = Callable[..., ServerProcess]
WAYS = pytest.mark.parametrize("options", [(), ("--workers", "1"), ("--reload",)], ids=["single", "worker", "reload"])
STRAY = r"The application's threads do not end: stray\. Exiting without them\.$"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(*options, left=…)` serves an application that leaves that at work when it has shut down."""
    with ExitStack() as stack:

        def start_one(*options: str, left: str, grace: float = 0.3) -> ServerProcess:
            (tmp_path / "site_app.py").write_text(APP.format(left=left, grace=grace))
            env = {**environment(tmp_path), "WEB_CONCURRENCY": ""}
            return stack.enter_context(ServerProcess("site_app:app", *options, cwd=tmp_path, env=env))

        yield start_one


@WAYS
def test_a_thread_that_does_not_end_is_left_behind(start: Start, options: tuple[str, ...]) -> None:
    server = start(*options, left="thread")
    assert server.stop() == 0
    assert re.search(STRAY, server.stderr, re.M)
    assert "Traceback" not in server.stderr


def test_a_process_that_does_not_end_is_left_behind(start: Start) -> None:
    server = start(left="process")
    assert server.stop() == 0
    line = r"The application's child processes or exit handlers do not end\. Exiting without them\.$"
    assert re.search(line, server.stderr, re.M)


@WAYS
def test_a_thread_that_ends_in_time_is_waited_for(start: Start, options: tuple[str, ...]) -> None:
    server = start(*options, left="brief")
    assert server.stop() == 0
    assert "at its end" in server.stdout
    assert "Exiting without" not in server.stderr


def test_a_worker_that_ends_leaves_ctrl_c_to_the_supervisor(start: Start) -> None:
    server = start("--workers", "1", left="thread", grace=3)
    worker = int(server.wait_for_line(r"Started server process \[(\d+)\]")[1])
    server.send_signal()
    server.wait_for_line("Finished server process")
    wait_for_sleep(worker)
    os.kill(worker, signal.SIGINT)
    assert server.wait() == 0
    assert re.search(STRAY, server.stderr, re.M)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["sigint", "sigterm"])
def test_a_second_signal_does_not_wait(start: Start, number: int) -> None:
    server = start(left="thread", grace=60)
    server.send_signal(number)
    server.wait_for_line("Finished server process")
    wait_for_sleep(server.pid)
    assert server.stop(number) == 128 + number
    assert "Traceback" not in server.stderr
