"""Loops that do not turn: what is said of them, once, and that it disturbs nothing but the eye."""

import asyncio
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.apps import hello, respond
from support.blocking_app import Blocking
from support.embedded_server import Serve, servers
from support.error_log import ErrorLog
from support.processes import halt
from support.raw_client import Connect, clients, request
from support.server_process import ServerProcess
from support.waiting import DEADLINE, wait_until
from support.workers import worker_servers

from threadserve.runtime.stacks import STACK_SIGNAL
from threadserve.threads import watchdog
from threadserve.types import Receive, Scope, Send

STALL_SECONDS = 0.3
NOTICED = re.compile(r"Loop thread (\d) has not turned for (\d+\.\d) seconds, and is at:\n")
OVER = re.compile(r"Loop thread (\d) turns again, after (\d+\.\d) seconds\.")
TESTS = str(Path(__file__).parents[1])
STEERED = ("support.steered_app:app", "--app-dir", TESTS)


@pytest.fixture
def serve(error_log: ErrorLog) -> Iterator[Serve]:
    """`serve(app, **settings)` starts a server with one loop that is watched closely."""
    with servers(threads=1, lifespan="off", timeout_loop_stall=STALL_SECONDS) as start:
        yield start


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged of loops."""
    texts = [record.getMessage() for record in caplog.records if record.name == "threadserve.error"]
    return [text for text in texts if text.startswith("Loop thread")]


def wait_for(caplog: pytest.LogCaptureFixture, count: int) -> list[str]:
    """Waits until so much has been logged of loops."""
    wait_until(lambda: len(messages(caplog)) >= count, f"{count} messages, of {messages(caplog)}")
    return messages(caplog)


@pytest.mark.parametrize("target", ["/sleep", "/compute"])
def test_a_stall_is_told_once_and_its_end_too(
    serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture, target: str
) -> None:
    app = Blocking()
    server = serve(app)
    with app.held(server, target):
        [noticed] = wait_for(caplog, 1)
        match = NOTICED.match(noticed)
        assert match
        assert match[1] == "1"
        assert STALL_SECONDS - 0.1 <= float(match[2]) < DEADLINE
        # From the thread's first frame to the line that blocks it, with its text.
        assert noticed.index("in _bootstrap\n") < noticed.index("in __call__\n") < noticed.index(f"in {target[1:]}\n")
        line = "self.released.wait(3 * DEADLINE)" if target == "/sleep" else "sum(range(100))|while not self.has_enough"
        assert re.search(line.replace("(", r"\(").replace(")", r"\)").replace("*", r"\*"), noticed)
        time.sleep(3 * STALL_SECONDS)
        assert messages(caplog) == [noticed]
    [_, over] = wait_for(caplog, 2)
    match = OVER.fullmatch(over)
    assert match
    assert match[1] == "1"
    assert float(match[2]) >= 4 * STALL_SECONDS - 0.1
    # And the next one again.
    with app.held(server, target):
        assert NOTICED.match(wait_for(caplog, 3)[2])
    assert OVER.fullmatch(wait_for(caplog, 4)[3])


@pytest.mark.usefixtures("no_stalls")
def test_the_loop_that_is_blocked_is_named(serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    app = Blocking()
    server = serve(app, threads=2, distribute="round-robin")
    with app.held(server, "/sleep", 2):
        assert sorted(text[:13] for text in wait_for(caplog, 2)) == ["Loop thread 1", "Loop thread 2"]
    wait_for(caplog, 4)


def test_nothing_is_said_of_loops_that_turn(serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # Busy for long, but never for as long as that in one turn.
        end = time.monotonic() + 4 * STALL_SECONDS
        while time.monotonic() < end:
            sum(range(1000))
            await asyncio.sleep(0)
        await respond(send, b"x")

    assert connect(serve(app)).get().status == 200
    assert messages(caplog) == []


def test_zero_watches_nothing(serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    app = Blocking()
    server = serve(app, timeout_loop_stall=0)
    assert "threadserve-watchdog" not in {thread.name for thread in threading.enumerate()}
    with app.held(server, "/sleep"):
        time.sleep(2 * STALL_SECONDS)
    assert messages(caplog) == []


def test_a_stall_that_lasts_into_the_stop(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    app = Blocking()
    server = serve(app, threads=2)
    serving = server.server._server_run
    assert serving is not None
    with app.held(server, "/sleep"):
        wait_for(caplog, 1)
        server.server.should_exit = True
        wait_until(lambda: serving._is_stopping, "the stop to begin")
    # The thread of the watchdog ends with it, and so does what it says.
    server.stop()
    assert all(NOTICED.match(text) or OVER.fullmatch(text) for text in messages(caplog))
    assert len(messages(caplog)) <= 2


def receive_late(released: threading.Event) -> str:
    """Waits for bytes that come later."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        threading.Timer(3 * STALL_SECONDS, theirs.sendall, (b"late",)).start()
        return ours.recv(10).decode()


def sleep_exactly(released: threading.Event) -> str:
    """Sleeps for as long as it wants to."""
    began = time.monotonic()
    time.sleep(3 * STALL_SECONDS)
    return "slept" if time.monotonic() - began >= 3 * STALL_SECONDS else "woken"


def run_child(released: threading.Event) -> str:
    """Waits for a child process."""
    code = f"import time; time.sleep({3 * STALL_SECONDS}); print('done')"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def read_pipe(released: threading.Event) -> str:
    """Reads what is written later."""
    reader, writer = os.pipe()
    threading.Timer(3 * STALL_SECONDS, os.write, (writer, b"piped")).start()
    try:
        return os.read(reader, 10).decode()
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize(
    ("work", "expected"),
    [(receive_late, "late"), (sleep_exactly, "slept"), (run_child, "done"), (read_pipe, "piped")],
)
def test_what_blocks_goes_on_undisturbed(
    serve: Serve,
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
    work: Callable[[threading.Event], str],
    expected: str,
) -> None:
    released = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, work(released).encode())

    client = connect(serve(app))
    assert client.get().body.decode() == expected
    noticed = wait_for(caplog, 1)[0]
    assert f"in {work.__name__}\n" in noticed


def test_a_programs_own_handler_of_the_signal(serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    app = Blocking()
    taken: list[int] = []
    before = signal.signal(STACK_SIGNAL, lambda number, frame: taken.append(number))
    try:
        server = serve(app)
        with app.held(server, "/sleep"):
            [noticed] = wait_for(caplog, 1)
        wait_for(caplog, 2)
        assert noticed.endswith("and where it is cannot be told, for something else uses SIGURG.")
        assert taken == []
        signal.raise_signal(STACK_SIGNAL)
        assert taken == [STACK_SIGNAL]
    finally:
        signal.signal(STACK_SIGNAL, before)


def test_nothing_is_left_of_the_signals_handler(
    serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    app = Blocking()
    server = serve(app)
    with app.held(server, "/sleep"):
        wait_for(caplog, 1)
    wait_for(caplog, 2)
    assert signal.getsignal(STACK_SIGNAL) is signal.SIG_DFL


@pytest.mark.parametrize("options", [("--timeout-loop-stall", "0.3"), ("--timeout-loop-exit", "0.5")])
def test_nothing_is_said_of_a_process_that_was_stopped(options: tuple[str, ...]) -> None:
    with ServerProcess(*STEERED, "--threads", "2", *options) as server, clients() as connect:
        for pause in (0.4, 0.6, 1.0, 2.0):
            halt(server.pid)
            time.sleep(pause)
            os.kill(server.pid, signal.SIGCONT)
            assert connect(server).get("/").body == b"hello"
        assert server.stop() == 0
        assert "has not turned" not in server.stderr
        assert "does not turn" not in server.stderr


class Stopped:
    """Time of a process that was stopped once, for ten seconds; it passes by the looks at it."""

    number = 1
    thread = None

    def __init__(self) -> None:
        self.looks = 0
        self.now = 0.0

    def monotonic(self) -> float:
        """The time, which somebody looks at."""
        self.looks += 1
        self.now += 10 if self.is_late else 0.001
        return self.now

    def time(self) -> float:
        """The same."""
        return self.now

    @property
    def is_late(self) -> bool:
        """Whether that has just been, and the loop has not turned again."""
        return self.looks == 4

    @property
    def heartbeat(self) -> Any:
        """The loop's, which turns whenever the process runs."""
        return SimpleNamespace(due=self.now - 10 if self.is_late else self.now + 1, late=0.0)

    def format_requests_threadsafe(self) -> list[str]:
        """There are no requests."""
        return []


@pytest.mark.parametrize(("timeout", "give_up_after"), [(0.02, None), (1000.0, 0.02), (0.0, 0.02)])
def test_the_time_in_which_a_process_was_stopped_is_nobodys(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, timeout: float, give_up_after: float | None
) -> None:
    stopped: Any = Stopped()
    given_up: list[bool] = []
    monkeypatch.setattr(watchdog, "time", stopped)
    watching = watchdog.LoopWatchdog(lambda: [stopped], timeout, give_up_after, lambda: given_up.append(True))
    watching.start()
    try:
        wait_until(lambda: stopped.looks > 8, "the watchdog to look")
    finally:
        watching.stop()
    assert (watching.stall_counts, given_up, messages(caplog)) == ({}, [], [])


@pytest.mark.parametrize("how", ["sleep", "spin"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_process_whose_loops_are_all_stalled_ends(threads: int, how: str) -> None:
    options = ["--threads", str(threads), "--distribute", "round-robin", "--timeout-loop-exit", "1"]
    with ServerProcess(*STEERED, *options, env={"STEERED_BLOCK": how}) as server, clients() as connect:
        for _ in range(threads):
            connect(server).send(request("GET", "/block?token=secret"))
        assert server.wait(2 * DEADLINE) == 6
        for number in range(1, threads + 1):
            pattern = rf"CRITICAL: +Loop thread {number} does not turn, with 1 request in flight, and is at:\n"
            assert re.search(pattern, server.stderr), server.stderr
        assert server.stderr.count("in spin\n" if how == "spin" else "in <lambda>\n") >= threads
        assert server.stderr.endswith("no loop thread has turned for 1 second: terminating process\n")


def test_a_process_with_a_loop_that_turns_goes_on() -> None:
    options = ["--threads", "2", "--distribute", "round-robin", "--timeout-loop-exit", "0.5"]
    with ServerProcess(*STEERED, *options) as server, clients() as connect:
        connect(server).send(request("GET", "/block"))
        server.wait_for_line("has not turned for")
        # The longer of the two limits is over twice by then.
        end = time.monotonic() + 1
        while time.monotonic() < end:
            assert connect(server).get("/").body == b"hello"
        assert server.process.poll() is None
        assert "does not turn" not in server.stderr


def test_a_worker_whose_loops_are_stalled_is_replaced(tmp_path: Path) -> None:
    with worker_servers(tmp_path) as start, clients() as connect:
        server = start("--timeout-loop-exit", "0.5", count=2)
        before = server.pids
        connect(server).send(request("GET", "/block"))
        server.wait_for_line(r"no loop thread has turned for 0.5 seconds: terminating process")
        third = server.wait_for_starts(3)[2]
        assert third not in before
        [lost] = [pid for pid in before if f"Child process [{pid}] died" in server.stderr]
        wait_until(lambda: server.answering() == {*server.pids} - {lost}, "the others to answer")
        assert server.stop() == 0


def test_a_loop_may_be_given_up_that_is_not_watched(error_log: ErrorLog) -> None:
    options = ["--threads", "1", "--timeout-loop-stall", "0", "--timeout-loop-exit", "0.5"]
    with ServerProcess(*STEERED, *options) as server, clients() as connect:
        connect(server).send(request("GET", "/block"))
        assert server.wait(2 * DEADLINE) == 6
        assert "has not turned" not in server.stderr


def test_a_server_that_is_idle_is_not_stalled(serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    server = serve(hello, threads=2, timeout_loop_stall=STALL_SECONDS)
    time.sleep(3 * STALL_SECONDS)
    assert connect(server).get().status == 200
    assert messages(caplog) == []
    assert logging.getLogger("threadserve.error").isEnabledFor(logging.WARNING)
