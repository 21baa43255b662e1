"""Serving inside the workers of the real Gunicorn: its signals, timeouts, limits, sockets and logs."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from support.certificates import Authority, needs_openssl
from support.editable_site import write_site
from support.gunicorn_process import BOOTING, EXITING, SERVES, GunicornProcess
from support.load import Load
from support.processes import has_ended
from support.raw_client import RawClient, clients, request
from support.responses import Response
from support.waiting import DEADLINE, wait_until

from threadserve.config import defaults
from threadserve.wsgi import pool

pytest.importorskip("gunicorn", reason="Gunicorn is not installed")

from gunicorn.config import Config as GunicornConfig

from threadserve.gunicorn import ThreadserveWorker

Start = Callable[..., GunicornProcess]

WSGI = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"wsgi on threads" if environ["wsgi.multithread"] else b"wsgi"]
"""

STUCK = """
import threading
def application(environ, start_response):
    if environ["PATH_INFO"] == "/stuck":
        threading.Event().wait()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"served"]
"""

WORKERS = """
from threadserve.gunicorn import ThreadserveWorker

class Named(ThreadserveWorker):
    CONFIG_KWARGS = {"headers": [("X-Made-By", "Named")], "timeout_keep_alive": 60}

class Impatient(ThreadserveWorker):
    CONFIG_KWARGS = {"wsgi_threads": 1, "timeout_request": 0.3}

class Telling(ThreadserveWorker):
    def notify(self):
        super().notify()
        self.log.info("alive")

class Counted(ThreadserveWorker):
    def on_heartbeat(self, *, is_alive):
        super().on_heartbeat(is_alive=is_alive)
        self.log.info("beat")

class Logged(ThreadserveWorker):
    CONFIG_KWARGS = {
        "log_config": {
            "version": 1,
            "handlers": {"file": {"class": "logging.FileHandler", "filename": "site.log"}},
            "root": {"level": "INFO", "handlers": ["file"]},
        }
    }

class Wrong(ThreadserveWorker):
    CONFIG_KWARGS = {"http": "spdy"}
"""


class Visitors(Load):
    """Clients that go when they are told to, while the server goes on."""

    is_over = False

    def _use_connection(self, number: int, fields: tuple[str, ...]) -> bool:
        return not self.is_over and super()._use_connection(number, fields)

    def _take(self, number: int, response: Response) -> bool:
        return super()._take(number, response) or self.is_over


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(*options)` starts Gunicorn in a folder with the module `site_app`."""
    write_site(tmp_path)
    with ExitStack() as stack:

        def start_one(*options: str, app: str = "site_app:app", wait: bool = True, **more: str) -> GunicornProcess:
            server = GunicornProcess(app, *options, cwd=tmp_path, **more)
            stack.callback(lambda: server.kill() if hasattr(server, "process") else None)
            server.start(wait=wait)
            return server

        yield start_one


def get(server: GunicornProcess, path: str = "/") -> str:
    """What is answered to a request on a connection of its own."""
    client = RawClient(server.host, server.port)
    try:
        response = client.get(path, "Connection: close")
    finally:
        client.close()
    assert response.status == 200
    return response.body.decode()


def wait_for_workers(server: GunicornProcess, count: int) -> list[int]:
    """Waits until so many workers have begun to serve; returns all their ids, the oldest first."""
    wait_until(lambda: len(server.pids(SERVES)) >= count, f"{count} workers", 3 * DEADLINE)
    return server.pids(SERVES)


def begin_upload(server: GunicornProcess) -> RawClient:
    """A client whose request is in flight: all of it but the end of its body."""
    client = RawClient(server.host, server.port)
    client.send(request("POST", "/upload", "Content-Length: 11", "Expect: 100-continue"))
    assert client.reader.line().startswith(b"HTTP/1.1 100")
    assert client.reader.line() == b""
    client.send(b"begun")
    return client


def test_every_worker_and_each_of_its_threads_serves(start: Start) -> None:
    server = start("--workers", "2", "--threads", "2")
    pids = wait_for_workers(server, 2)
    instances: set[str] = set()

    def have_all_answered() -> bool:
        instances.add(get(server, "/instance"))
        return len(instances) == 4

    wait_until(have_all_answered, "all threads of both workers", 3 * DEADLINE)
    assert {int(instance.split()[0]) for instance in instances} == set(pids)
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("workers", "threads", "more", "expected"),
    [(1, 1, {}, 1), (2, 1, {}, 1), (2, 3, {}, 3), (2, 1, {"threads": "auto"}, 3), (9, 1, {"threads": "auto"}, 1)],
)
def test_the_number_of_threads_is_gunicorns_on_every_build(
    monkeypatch: pytest.MonkeyPatch, workers: int, threads: int, more: dict[str, Any], expected: int
) -> None:
    monkeypatch.setattr(defaults, "is_free_threaded_build", lambda: True)
    monkeypatch.setattr(defaults, "count_usable_cpus", lambda: 6)
    monkeypatch.setenv("WEB_CONCURRENCY", "5")
    given = GunicornConfig()
    given.set("workers", workers)
    given.set("threads", threads)
    monkeypatch.setattr(ThreadserveWorker, "CONFIG_KWARGS", more)
    made = ThreadserveWorker.make_config(given)
    assert (made.worker_count, made.thread_count) == (workers, expected)


@pytest.mark.parametrize(
    ("app", "options", "count"),
    [("site_app:create_app()", (), 2), ("site_app:app", ("--preload",), 1), ("site_app:app", ("--reload",), 1)],
    ids=["factory", "preload", "reload"],
)
def test_the_number_of_app_instances(start: Start, app: str, options: tuple[str, ...], count: int) -> None:
    server = start("--threads", "2", *options, app=app)
    assert len({get(server, "/instance") for _ in range(20)}) == count


def test_new_code_on_sighup_fails_no_request(start: Start, tmp_path: Path) -> None:
    server = start("--workers", "2", "--threads", "2", "--keep-alive", "60")
    before = wait_for_workers(server, 2)
    visitors = Visitors(server, keep_alive=3, fresh=3, expected=b"hello", pause=0.005)
    visitors.start()
    try:
        visitors.wait_for_answers()
        write_site(tmp_path, "2")
        server.send_signal(signal.SIGHUP)
        wait_until(lambda: set(before) <= set(server.pids(EXITING)), "the end of the old workers", 3 * DEADLINE)
        wait_for_workers(server, 4)
        assert get(server, "/version") == "2"
        answered = list(visitors.answered)
        wait_until(lambda: all(now > then for now, then in zip(visitors.answered, answered, strict=True)), "answers")
    finally:
        visitors.is_over = True
    assert visitors.join() > 0
    assert server.stop() == 0


def test_sigterm_lets_a_request_in_flight_end_of_which_nothing_is_logged(start: Start) -> None:
    server = start()
    client = begin_upload(server)
    server.send_signal(signal.SIGTERM)
    server.wait_for_line("Shutting down$")
    client.send(b" ended")
    response = client.read_response("POST")
    client.close()
    assert (response.status, response.body) == (200, b"begun ended")
    assert server.wait() == 0
    assert server.pids(BOOTING) == server.pids(EXITING)
    # There is no access log unless Gunicorn is asked for one.
    assert "POST" not in server.stdout + server.stderr


def test_a_repeated_sigterm_does_not_cut_a_request_off(start: Start) -> None:
    server = start()
    client = begin_upload(server)
    worker = server.pids()[0]
    os.kill(worker, signal.SIGTERM)
    server.wait_for_line("Shutting down$")
    os.kill(worker, signal.SIGTERM)
    client.send(b" ended")
    assert client.read_response("POST").body == b"begun ended"
    client.close()


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGINT], ids=["sigquit", "sigint"])
def test_sigquit_and_sigint_end_it_at_once(start: Start, number: int) -> None:
    server = start("--graceful-timeout", "60")
    client = begin_upload(server)
    assert server.stop(number) == 0
    client.close()
    assert server.pids(BOOTING) == server.pids(EXITING)


def test_requests_are_cut_off_before_the_graceful_timeout_and_waited_for_at_rest(start: Start, tmp_path: Path) -> None:
    (tmp_path / "workers.py").write_text(WORKERS)
    server = start("--graceful-timeout", "4", worker="workers.Counted")
    client = begin_upload(server)
    assert server.stop() == 0
    client.close()
    assert "Cut off 1 request" in server.stderr
    assert "SIGKILL" not in server.stderr
    _, _, log = server.stderr.partition("Shutting down")
    # A few each second.
    assert 0 < log.count("beat") < 50


def test_a_worker_is_recycled_after_its_requests(start: Start) -> None:
    server = start("--max-requests", "5")
    wait_until(lambda: get(server) == "hello" and len(server.pids()) >= 3, "two successors", 3 * DEADLINE)


def test_a_hanging_worker_is_replaced(start: Start) -> None:
    server = start("--timeout", "4")
    hanging = server.pids()[0]
    os.kill(hanging, signal.SIGSTOP)
    server.wait_for_line(rf"WORKER TIMEOUT \(pid:{hanging}\)")
    _, successor = wait_for_workers(server, 2)
    assert get(server, "/pid") == str(successor)


def test_a_worker_whose_loops_are_all_blocked_is_replaced(start: Start) -> None:
    server = start("--timeout", "4", "--threads", "2", app="support.steered_app:app")
    hanging = server.pids()[0]
    with clients() as connect:
        for _ in range(2):
            connect(server).send(request(target="/block"))
        server.wait_for_line(rf"WORKER TIMEOUT \(pid:{hanging}\)")
        _, successor = wait_for_workers(server, 2)
        assert get(server, "/pid") == str(successor)


def test_a_worker_that_serves_gives_signs_of_life(start: Start, tmp_path: Path) -> None:
    (tmp_path / "workers.py").write_text(WORKERS)
    server = start("--threads", "2", app="support.steered_app:app", worker="workers.Telling")
    wait_for_signs_of_life(server)
    with clients() as connect:
        connect(server).send(request(target="/block"))
        server.wait_for_line("blocking", "stdout")
        wait_for_signs_of_life(server)
    assert len(server.pids(BOOTING)) == 1


def wait_for_signs_of_life(server: GunicornProcess) -> None:
    """Waits until the worker has told several times that it is alive, and answers."""
    before = server.stderr.count("alive")
    wait_until(
        lambda: get(server) == "hello" and server.stderr.count("alive") >= before + 3, "signs of life", 2 * DEADLINE
    )


def test_sigabrt_calls_gunicorns_hook_and_ends_the_worker(start: Start, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("def worker_abort(worker):\n    worker.log.info('the hook is called')\n")
    server = start()
    client = begin_upload(server)
    os.kill(server.pids()[0], signal.SIGABRT)
    wait_for_workers(server, 2)
    client.close()
    assert "the hook is called" in server.stderr
    assert get(server) == "hello"


def test_sigusr2_has_another_arbiter_take_over(start: Start) -> None:
    server = start()
    server.send_signal(signal.SIGUSR2)
    _, successor = wait_for_workers(server, 2)
    arbiter = psutil.Process(successor).parent()
    assert arbiter is not None
    try:
        server.send_signal(signal.SIGTERM)
        assert server.process.wait(DEADLINE) == 0
        assert get(server, "/pid") == str(successor)
    finally:
        arbiter.send_signal(signal.SIGQUIT)
    wait_until(lambda: has_ended(arbiter.pid), "the end of the other arbiter")


def test_the_access_log_has_gunicorns_format_and_file(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    server = start("--access-logfile", str(log), "--access-logformat", '%(m)s %(U)s %(q)s %(s)s "%({x-of}i)s"')
    client = RawClient(server.host, server.port)
    client.get("/version?now", "X-Of: a test")
    client.close()
    wait_until(log.read_text, "a line")
    assert log.read_text() == 'GET /version now 200 "a test"\n'
    log.rename(tmp_path / "access.log.1")
    server.send_signal(signal.SIGUSR1)
    wait_until(log.exists, "the new file")
    # The arbiter makes it, and has the worker open it after that.
    wait_until(lambda: get(server, "/pid") and "/pid" in log.read_text(), "a line in the new file")


def test_sigusr1_reopens_the_files_of_a_log_config(start: Start, tmp_path: Path) -> None:
    (tmp_path / "workers.py").write_text(WORKERS)
    log = tmp_path / "site.log"
    server = start(worker="workers.Logged", wait=False)
    wait_until(lambda: log.exists() and "Started server process" in log.read_text(), "a server", 3 * DEADLINE)
    log.rename(tmp_path / "site.log.1")
    server.send_signal(signal.SIGUSR1)
    wait_until(lambda: log.exists() and "Reopened 1 log file." in log.read_text(), "a line in the new file")


def test_a_unix_socket(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = start(bind=f"unix:{path}")
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=DEADLINE) as client:
        # As with Gunicorn's own workers, whoever may connect is trusted.
        assert client.get("http://localhost/scheme", headers={"X-Forwarded-Proto": "https"}).text == "https"
    assert server.stop() == 0
    assert not path.exists()


@needs_openssl
def test_gunicorns_settings_of_tls(start: Start, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    identity = authority.sign("server")
    server = start("--certfile", str(identity.certificate), "--keyfile", str(identity.key))
    with httpx.Client(verify=authority.client_context(), timeout=DEADLINE) as client:
        assert client.get(f"https://localhost:{server.port}/scheme").text == "https"


def test_a_wsgi_application(start: Start, tmp_path: Path) -> None:
    (tmp_path / "wsgi_app.py").write_text(WSGI)
    server = start("--threads", "2", app="wsgi_app")
    assert get(server) == "wsgi on threads"


def test_a_worker_whose_wsgi_threads_are_all_stuck_is_replaced(start: Start, tmp_path: Path) -> None:
    (tmp_path / "workers.py").write_text(WORKERS)
    (tmp_path / "wsgi_app.py").write_text(STUCK)
    server = start(app="wsgi_app", worker="workers.Impatient")
    with clients() as connect:
        # As many threads as there may be of one.
        stuck = [connect(server) for _ in range(1 + pool.MIN_REPLACEMENTS)]
        for client in stuck:
            client.send(request("GET", "/stuck"))
        assert [client.read_response().status for client in stuck] == [504] * len(stuck)
    first, _ = wait_for_workers(server, 2)
    # A code that would have had the arbiter give up, was it the server's own.
    server.wait_for_line(re.compile(rf"Worker \(pid:{first}\) exited with code 1"))
    assert get(server) == "served"


def test_forwarded_headers_from_trusted_addresses_and_the_settings_of_a_subclass(start: Start, tmp_path: Path) -> None:
    (tmp_path / "workers.py").write_text(WORKERS)
    server = start("--forwarded-allow-ips", "127.0.0.1", worker="workers.Named")
    client = RawClient(server.host, server.port)
    response = client.get("/scheme", "X-Forwarded-Proto: https")
    assert (response.body, response.header("x-made-by")) == (b"https", b"Named")
    client.close()


def test_a_setting_that_cannot_be_used_is_one_line(start: Start, tmp_path: Path) -> None:
    (tmp_path / "workers.py").write_text(WORKERS)
    server = start(worker="workers.Wrong", wait=False)
    assert server.wait(3 * DEADLINE) == 2
    assert "http: 'spdy' is not one of" in server.stderr
    assert "Traceback" not in server.stderr


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("raise ValueError('no settings')", "no settings"),
        ("async def app(scope, receive, send):\n    raise ValueError('no database')", "no database"),
    ],
    ids=["import", "lifespan"],
)
def test_an_application_that_cannot_start_ends_gunicorn(start: Start, tmp_path: Path, code: str, line: str) -> None:
    (tmp_path / "workers.py").write_text(WORKERS + "\nNamed.CONFIG_KWARGS = {'lifespan': 'on'}")
    (tmp_path / "site_app.py").write_text(code)
    server = start(worker="workers.Named", wait=False)
    assert server.wait(3 * DEADLINE) == 3
    assert line in server.stderr
    assert "Worker failed to boot" in server.stderr
