"""What the admin address tells of several processes: while they serve, come and go, do not answer, and are to stop."""

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from support.admin import Admin, admin_at, admin_at_path, admin_of_process
from support.command_line import run_module
from support.editable_site import environment, write_site
from support.processes import halt
from support.raw_client import Connect, clients, request
from support.server_process import ServerProcess
from support.waiting import DEADLINE, wait_until
from support.workers import StartWorkers, begin_upload, chunk, one_client_each, worker_servers

from loadtests.servers.ports import free_port
from threadserve.admin.workers import STATE_MAX_AGE_SECONDS

ADMIN = ("--admin-bind", "127.0.0.1:0")
ALIVE, READY = (200, "alive"), (200, "ready")
LIVEZ, READYZ = "/livez", "/readyz"
PATHS = (LIVEZ, READYZ, "/metrics", "/status", "/status.json")
REPLACED = "threadserve_workers_replaced_total"
STALL = ("--timeout-loop-stall", "0.3")
# The supervisor itself replaces nobody who is silent.
PATIENT = ("--timeout-worker-healthcheck", "600")
# In seconds, between two rounds: whoever scrapes leaves the server time for its work.
SCRAPE_PAUSE = 0.01
# In seconds: much more than a probe's answer takes, and less than what is shown of threads is waited for.
QUICK = 0.5
# The first of the processes starts at once, and the others wait for the file that the test makes.
FIRST_AT_ONCE = """
import os
from contextlib import suppress
from pathlib import Path

with suppress(FileExistsError):
    Path(os.environ["STEERED_STARTUP"]).with_suffix(".first").touch(exist_ok=False)
    os.environ["STEERED_STARTUP"] = ""
"""

# The process cannot end by itself.
LINGERING = """
import threading

threading.Thread(target=threading.Event().wait, args=(60,), name="lingering").start()
"""

# A program that it starts would keep these open.
TELL_INHERITABLE = """
import os
import stat
from contextlib import suppress

passed_on = []
for number in range(3, 256):
    with suppress(OSError):
        if stat.S_ISSOCK(os.fstat(number).st_mode) and os.get_inheritable(number):
            passed_on.append(number)
tell(f"passed on: {passed_on}")
"""


@pytest.fixture
def start_workers(tmp_path: Path) -> Iterator[StartWorkers]:
    """`start_workers(*options, count=2)` starts a supervisor with an admin address; see `worker_servers`."""
    with worker_servers(tmp_path) as start:
        yield partial(start, *ADMIN)


@pytest.fixture
def connect(start_workers: StartWorkers) -> Iterator[Connect]:
    """`connect(server)` opens a connection; it is closed before the server is killed."""
    with clients() as open_client:
        yield open_client


def told_of(admin: Admin) -> set[int]:
    """The workers of which there are metrics."""
    return {int(sample.labels["pid"]) for sample in admin.metrics().samples("process_threads")}


def wait_for_workers(admin: Admin, *pids: int) -> None:
    """Waits until there are metrics of just these workers."""
    wait_until(lambda: told_of(admin) == {*pids}, f"metrics of {pids} alone")


def seconds_for(admin: Admin, target: str) -> float:
    """The least time that an answer takes, of several."""

    def measured() -> float:
        began = time.monotonic()
        admin.ask(target)
        return time.monotonic() - began

    return min(measured() for _ in range(5))


class Scraper:
    """Asks for everything again and again, on a thread of its own, and keeps what is not answered with 200."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scraper")
        self.failures: list[str] = []
        self.rounds = 0

    def __enter__(self) -> "Scraper":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join(DEADLINE)

    def wait_for_round(self) -> None:
        """Waits until everything has been asked for once more."""
        before = self.rounds
        wait_until(lambda: self.rounds > before + 1 or self.failures, "another round")

    def _run(self) -> None:
        while not self._is_over.wait(SCRAPE_PAUSE):
            for path in PATHS:
                try:
                    response = self._admin.ask(path)
                except (OSError, AssertionError) as error:
                    self.failures.append(f"{path}: {error!r}")
                    return
                if response.status != 200:
                    self.failures.append(f"{path}: {response.status} {response.body!r}")
            self.rounds += 1


def test_it_is_ready_when_all_workers_of_the_start_serve(start_workers: StartWorkers, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    server = start_workers(wait=False, env={"STEERED_STARTUP": str(gate)}, more=FIRST_AT_ONCE)
    admin = admin_of_process(server)
    [first] = server.wait_for_starts(1)
    server.wait_for_line("^starting$", "stdout")
    wait_until(lambda: admin.metrics().value("threadserve_loop_lag_seconds_count", pid=str(first)) > 0, "its metrics")
    assert admin.health(READYZ) == (503, "the server is starting")
    assert admin.health(LIVEZ) == ALIVE
    assert admin.metrics().value("threadserve_ready") == 0
    assert admin.status()["phase"] == "starting"
    gate.touch()
    wait_for_workers(admin, *server.wait_for_starts(2))
    admin.wait_for_health(READYZ, *READY)
    assert admin.metrics().value("threadserve_ready") == 1
    assert server.stop() == 0


def test_each_worker_has_its_own_numbers_and_no_program_its_connection(
    start_workers: StartWorkers, connect: Connect
) -> None:
    server = start_workers(more=TELL_INHERITABLE)
    assert re.findall(r"passed on: (.*)", server.stdout) == ["[]"] * 2
    admin = admin_of_process(server)
    pids = server.pids
    asked = one_client_each(server, connect, *pids)
    before = {pid: admin.metrics().value("threadserve_requests_total", pid=str(pid)) for pid in pids}
    for number, (pid, client) in enumerate(asked.items(), 1):
        for _ in range(number):
            assert int(client.get("/pid").body) == pid
        admin.wait_for(before[pid] + number, "threadserve_requests_total", pid=str(pid), status="2xx", thread="1")
    metrics = admin.metrics()
    assert metrics.value("threadserve_workers") == 2
    assert metrics.value(REPLACED) == 0
    assert len(metrics.samples("threadserve_workers")) == len(metrics.samples(REPLACED)) == 1
    for name in ("process_resident_memory_bytes", "process_open_fds", "threadserve_loop_stalls_total"):
        assert sorted(sample.labels["pid"] for sample in metrics.samples(name)) == sorted(map(str, pids))
    status = admin.status()
    assert (status["phase"], status["workers"], status["silent"], status["problems"]) == ("serving", 2, [], [])
    assert sorted(process["pid"] for process in status["processes"]) == sorted(pids)
    assert server.stop() == 0


def test_a_worker_that_was_killed_is_counted(start_workers: StartWorkers) -> None:
    server = start_workers()
    admin = admin_of_process(server)
    victim, other = server.pids
    os.kill(victim, signal.SIGKILL)
    replacement = server.wait_for_starts(3)[2]
    wait_for_workers(admin, other, replacement)
    assert admin.metrics().value(REPLACED) == 1
    assert admin.metrics().value("threadserve_workers") == 2
    assert [problem["message"] for problem in admin.status()["problems"]] == [
        f"Child process [{victim}] died: killed by SIGKILL"
    ]
    server.send_signal(signal.SIGTTIN)
    admin.wait_for(3, "threadserve_workers")
    wait_for_workers(admin, *server.wait_for_starts(4)[1:])
    server.send_signal(signal.SIGTTOU)
    wait_for_workers(admin, other, replacement)
    assert admin.metrics().value("threadserve_workers") == 2
    # Who was there to be one too many has taken nobody's place, and nobody has taken its.
    assert admin.metrics().value(REPLACED) == 1
    assert server.stop() == 0


def test_it_answers_on_while_workers_are_renewed_and_nothing_is_left_of_them(start_workers: StartWorkers) -> None:
    server = start_workers()
    admin = admin_of_process(server)
    supervisor = psutil.Process(server.pid)

    def renew() -> None:
        before = server.pids
        # A worker that has just come is asked by both at the same time.
        with Scraper(admin) as scraper, Scraper(admin) as other:
            server.send_signal(signal.SIGHUP)
            after = server.wait_for_starts(len(before) + 2)[-2:]
            server.wait_for_end_of(*before)
            scraper.wait_for_round()
            other.wait_for_round()
        assert scraper.failures == other.failures == []
        wait_for_workers(admin, *after)

    renew()
    wait_until(lambda: len(supervisor.children()) <= 3, "the old ones to end")
    descriptors, threads = supervisor.num_fds(), supervisor.num_threads()
    # What one worker left behind would show after the next one: the numbers are exact.
    for _ in range(3):
        renew()
    assert admin.metrics().value(REPLACED) == 8
    wait_until(lambda: supervisor.num_fds() <= descriptors, "the descriptors of the old ones to be closed")
    assert supervisor.num_threads() <= threads
    assert admin.status()["problems"] == []
    assert server.stop() == 0


def test_it_answers_on_while_workers_are_slow_to_end(start_workers: StartWorkers) -> None:
    server = start_workers(more=LINGERING)
    admin = admin_of_process(server)
    before = server.pids
    server.write_code("second code")
    with Scraper(admin) as scraper:
        server.send_signal(signal.SIGHUP)
        after = server.wait_for_starts(4)[2:]
        server.wait_for_end_of(*before)
        # They answer nobody any more, though they take seconds to end.
        scraper.wait_for_round()
        assert {process["pid"] for process in admin.status()["processes"] if process["phase"] == "serving"} == {*after}
        wait_until(lambda: server.stderr.count("do not end: lingering. Exiting without them") == 2, "them to end")
        wait_for_workers(admin, *after)
        scraper.wait_for_round()
    assert scraper.failures == []
    assert (admin.status()["silent"], admin.status()["problems"]) == ([], [])
    assert server.stop() == 0


def test_a_worker_that_does_not_answer_is_remembered_and_then_silent(start_workers: StartWorkers) -> None:
    server = start_workers(*PATIENT)
    admin = admin_of_process(server)
    victim, other = pids = server.pids
    asked_at = time.monotonic()
    wait_for_workers(admin, *pids)
    halt(victim)
    assert told_of(admin) == {*pids}
    assert max(seconds_for(admin, LIVEZ), seconds_for(admin, READYZ)) < QUICK
    wait_for_workers(admin, other)
    assert time.monotonic() - asked_at >= STATE_MAX_AGE_SECONDS
    status = admin.status()
    assert (status["silent"], [process["pid"] for process in status["processes"]]) == ([victim], [other])
    assert (admin.health(LIVEZ), admin.health(READYZ)) == (ALIVE, READY)
    assert max(seconds_for(admin, LIVEZ), seconds_for(admin, READYZ)) < QUICK
    halt(other)
    # Whether to end them is the supervisor's to know.
    admin.wait_for_health(READYZ, 503, "no process is ready")
    assert admin.health(LIVEZ) == ALIVE
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    wait_for_workers(admin, *pids)
    assert admin.status()["silent"] == []
    assert (admin.health(LIVEZ), admin.health(READYZ)) == (ALIVE, READY)
    assert admin.metrics().value(REPLACED) == 0
    assert server.stop() == 0


def test_it_is_dead_when_every_loop_of_every_worker_is_blocked(start_workers: StartWorkers, connect: Connect) -> None:
    server = start_workers(*STALL)
    admin = admin_of_process(server)
    first, second = one_client_each(server, connect, *server.pids).items()
    first[1].send(request("GET", "/block"))
    admin.wait_for(1, "threadserve_loop_stalled", pid=str(first[0]))
    assert (admin.health(LIVEZ), admin.health(READYZ)) == (ALIVE, READY)
    assert admin.metrics().value("threadserve_loop_stalled", pid=str(second[0])) == 0
    second[1].send(request("GET", "/block"))
    admin.wait_for_health(LIVEZ, 503, "every loop thread is blocked")
    assert admin.health(READYZ) == (503, "every loop thread is blocked")
    assert [admin.ask(path).status for path in PATHS] == [503, 503, 200, 200, 200]
    loops = [loop for process in admin.status()["processes"] for loop in process["loops"]]
    assert [loop["calls"][0]["request"] for loop in loops] == ["GET /block"] * 2
    # Another that serves is enough to go on.
    server.send_signal(signal.SIGTTIN)
    server.wait_for_starts(3)
    admin.wait_for_health(READYZ, *READY)
    assert admin.health(LIVEZ) == ALIVE
    server.send_signal()
    server.wait_for_line("Waiting for child process")
    assert server.stop() == 128 + signal.SIGTERM


def test_the_supervisor_alone_delays_the_stop(start_workers: StartWorkers, connect: Connect) -> None:
    server = start_workers("--shutdown-delay", "3")
    admin = admin_of_process(server)
    pids = server.pids
    began = time.monotonic()
    server.send_signal()
    admin.wait_for_health(READYZ, 503, "the server is draining")
    assert admin.health(LIVEZ) == ALIVE
    assert admin.status()["phase"] == "draining"
    one_client_each(server, connect, *pids)
    assert "Waiting for child process" not in server.stderr
    assert server.wait() == 0
    assert time.monotonic() - began >= 3
    assert server.stderr.count("Shutting down in 3 seconds. (CTRL+C to force quit)") == 1
    assert server.stderr.count("Shutting down in") == 1
    assert server.stdout.count("down\n") == 2


def test_the_end_of_a_worker_is_told_to_the_end(start_workers: StartWorkers, connect: Connect) -> None:
    server = start_workers()
    admin = admin_of_process(server)
    busy, idle = server.pids
    client = one_client_each(server, connect, *server.pids)[busy]
    begin_upload(client)
    server.wait_for_line("reading", "stdout")
    server.send_signal()
    server.wait_for_end_of(idle)
    wait_for_workers(admin, busy)
    assert admin.health(READYZ) == (503, "the server is stopping")
    assert admin.health(LIVEZ) == ALIVE
    assert admin.metrics().value("threadserve_requests_in_flight") == 1
    assert admin.status()["phase"] == admin.process()["phase"] == "stopping"
    client.send(chunk(b"and ended") + chunk(b""))
    assert client.read_response("POST").body == b"begun and ended"
    assert server.wait() == 0


def test_a_second_signal_ends_the_delay_of_all(start_workers: StartWorkers, tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    server = start_workers("--shutdown-delay", "600", "--admin-bind", f"unix:{path}")
    admin = admin_at_path(str(path))
    assert admin.health(READYZ) == READY
    server.send_signal()
    server.wait_for_line("Shutting down in 600 seconds")
    admin.wait_for_health(READYZ, 503, "the server is draining")
    assert server.stop() == 128 + signal.SIGTERM
    assert not any(psutil.pid_exists(pid) for pid in server.pids)
    assert not path.exists()
    assert "Traceback" not in server.stderr


def test_an_admin_address_in_use_starts_no_worker(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        # It returns when all that have its output are at their end.
        done = run_module("nothing:app", "--workers", "2", "--port", "0", "--admin-bind", place)
    assert done.returncode == 3
    assert done.stderr == f"Error: cannot bind to {place}: address already in use\n"
    assert done.stdout == ""


def test_a_reload_answers_at_the_same_address(tmp_path: Path) -> None:
    write_site(tmp_path)
    port = free_port()
    options = ["--reload", "--reload-delay", "0.05", "--admin-bind", f"127.0.0.1:{port}"]
    with ServerProcess("site_app:app", *options, cwd=tmp_path, env=environment(tmp_path)) as server:
        admin = admin_at("127.0.0.1", port)
        admin.wait_for_health(READYZ, *READY)
        before = admin.process()["pid"]
        write_site(tmp_path, "2")
        server.wait_for_line(rf"Finished server process \[{before}\]")
        wait_until(lambda: server.stderr.count("Started server process") == 2, "the next one to serve", 2 * DEADLINE)
        assert admin.health(READYZ) == READY
        assert admin.process()["pid"] != before
        assert server.stop() == 0
        assert "ERROR" not in server.stderr
