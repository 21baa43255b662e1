"""Calls that do not come back: they are answered, their threads replaced, and in the end the process."""

import re
import threading
import time
from pathlib import Path

import pytest
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.raw_client import Connect, RawClient, request
from support.server_process import ServerProcess
from support.waiting import DEADLINE, wait_until
from support.wsgi_apps import PLAIN, Environ, Held, StartResponse

from threadserve.logging.wording import format_count
from threadserve.runtime import stacks
from threadserve.wsgi import call, pool
from threadserve.wsgi.sink import Channel

TIMEOUT = 2 * DEADLINE


class Clock:
    """What the pool measures calls by: real time, which a test puts forward past `TIMEOUT`."""

    def __init__(self) -> None:
        self.looks = 0
        self._ahead = 0.0

    def monotonic(self) -> float:
        """In place of `time.monotonic`; counts the watching thread's looks."""
        if threading.current_thread().name == "threadserve-wsgi-watch":
            self.looks += 1
        return time.monotonic() + self._ahead

    def put_forward(self) -> None:
        """Makes what runs now, and does not wait for its client, run for too long."""
        self._ahead += 2 * TIMEOUT

    def wait_for_a_look(self) -> None:
        """Waits until the watching thread has looked at the calls once more, as a whole."""
        enough = self.looks + 2
        wait_until(lambda: self.looks >= enough, "the calls to be looked at")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The pool's clock; stuck calls are looked for often."""
    clock = Clock()
    monkeypatch.setattr(pool, "time", clock)
    monkeypatch.setattr(call, "monotonic", clock.monotonic)
    monkeypatch.setattr(pool, "MAX_CHECK_INTERVAL_SECONDS", 0.01)
    return clock


def test_stuck_call_is_answered_and_its_thread_replaced(
    serve: Serve, connect: Connect, error_log: ErrorLog, clock: Clock
) -> None:
    app = Held()
    server = serve(app, wsgi_threads=2, timeout_request=TIMEOUT)
    stuck = connect(server)
    stuck.send(request("GET", "/held?x"))
    app.wait_for(1)
    clock.put_forward()
    response = stuck.read_response()
    assert (response.status, response.body) == (504, b"Gateway Timeout")
    text = error_log.expect(text=f"has not come back for {format_count(TIMEOUT, 'second')}: GET /held").getMessage()
    assert "as 1 now is" in text
    assert "in __call__\n" in text
    assert stuck.get("/next").body == b"/next"
    assert [connect(server).get(f"/{number}").status for number in range(4)] == [200] * 4
    app.release.set()
    assert connect(server).get("/after").body == b"/after"


def test_stuck_call_is_answered_where_no_file_can_be_had(
    serve: Serve, connect: Connect, error_log: ErrorLog, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_file(**options: object) -> object:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(stacks, "TemporaryFile", no_file)
    app = Held()
    server = serve(app, wsgi_threads=1, timeout_request=TIMEOUT)
    hold(app, clock, [connect(server)])
    hold(app, clock, [connect(server)])
    for count in ("as 1 now is", "as 2 now are"):
        text = error_log.expect(text=count).getMessage()
        assert "where it is cannot be told: [Errno 24] Too many open files" in text
    app.release.set()


def test_stuck_call_is_answered_where_no_thread_can_be_had(
    serve: Serve, connect: Connect, error_log: ErrorLog, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(*thread: object) -> threading.Thread:
        raise RuntimeError("can't start new thread")

    app = Held()
    server = serve(app, wsgi_threads=2, timeout_request=TIMEOUT)
    assert connect(server).get("/first").body == b"/first"
    monkeypatch.setattr(pool, "start_thread", no_thread)
    hold(app, clock, [connect(server)])
    assert "is not replaced" in error_log.expect(text="as 1 now is").getMessage()
    assert connect(server).get("/second").body == b"/second"
    app.release.set()


def test_stuck_stream_is_broken_off(serve: Serve, connect: Connect, error_log: ErrorLog, clock: Clock) -> None:
    is_stuck = threading.Event()
    release = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> object:
        start_response("200 OK", PLAIN)
        yield b"begun"
        is_stuck.set()
        release.wait(2 * DEADLINE)
        yield b"late"

    client = connect(serve(app, wsgi_threads=2, timeout_request=TIMEOUT))
    client.send(request())
    assert client.reader.head().status == 200
    assert is_stuck.wait(DEADLINE)
    clock.put_forward()
    error_log.expect(text="has not come back")
    assert b"begun" in client.read_all()
    release.set()
    error_log.claim_all()


def test_waiting_for_a_client_is_not_being_stuck(
    serve: Serve, connect: Connect, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Channel.write_threadsafe

    def write_slowly(channel: Channel, data: bytes) -> None:
        clock.put_forward()
        clock.wait_for_a_look()
        write(channel, data)

    def app(environ: Environ, start_response: StartResponse) -> object:
        start_response("200 OK", PLAIN)
        for _ in range(3):
            yield b"x" * 65536

    monkeypatch.setattr(Channel, "write_threadsafe", write_slowly)
    client = connect(serve(app, timeout_request=TIMEOUT))
    client.send(request())
    assert len(client.read_response().body) == 3 * 65536


def hold(app: Held, clock: Clock, clients: list[RawClient]) -> None:
    """Has each client's call stuck, and answered."""
    for client in clients:
        next_one = app.arrived + 1
        client.send(request("GET", "/held"))
        app.wait_for(next_one)
    clock.put_forward()
    assert [client.read_response().status for client in clients] == [504] * len(clients)


def test_more_calls_are_stuck_than_there_are_threads(
    serve: Serve, connect: Connect, error_log: ErrorLog, clock: Clock
) -> None:
    before = set(threading.enumerate())
    app = Held()
    server = serve(app, wsgi_threads=2, timeout_request=TIMEOUT)
    for _ in range(4):
        hold(app, clock, [connect(server) for _ in range(2)])
    error_log.expect(text="as 8 now are")
    error_log.claim_all()
    clock.put_forward()
    clock.wait_for_a_look()
    assert connect(server).get("/next").body == b"/next"
    app.release.set()

    def pool_threads() -> int:
        return sum(
            thread.name.startswith("threadserve-wsgi-") and thread.name != "threadserve-wsgi-watch"
            for thread in set(threading.enumerate()) - before
        )

    wait_until(lambda: pool_threads() == 2, "the threads that came back to give their place up")
    assert connect(server).get("/after").body == b"/after"


def test_thread_that_comes_back_is_taken_where_one_is_missing(
    serve: Serve, connect: Connect, error_log: ErrorLog, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "MIN_REPLACEMENTS", 1)
    app = Held()
    server = serve(app, wsgi_threads=1, timeout_request=TIMEOUT)
    hold(app, clock, [connect(server)])
    hold(app, clock, [connect(server)])
    error_log.expect(text="as 2 now are, is not replaced")
    error_log.expect(
        text=f"All 2 WSGI threads are stuck. Unless one comes back within {format_count(2 * TIMEOUT, 'second')}"
    )
    error_log.claim_all()
    client = connect(server)
    client.send(request("GET", "/waits"))
    assert client.is_silent(0.1)
    app.release.set()
    assert client.read_response().body == b"/waits"
    assert [client.get("/again").body for _ in range(3)] == [b"/again"] * 3


APP = """
import threading
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/stuck":
        threading.Event().wait()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [path.encode()]
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with an application in it."""
    (tmp_path / "stuck_site.py").write_text(APP)
    return tmp_path


# As many as there may be of `--wsgi-threads 1`.
MOST = 1 + pool.MIN_REPLACEMENTS
STUCK = ("stuck_site:app", "--wsgi-threads", "1", "--timeout-request", "0.3")


def test_process_ends_when_every_thread_has_been_stuck_for_long(site: Path, connect_process: Connect) -> None:
    with ServerProcess(*STUCK, cwd=site) as server:
        clients = [connect_process(server) for _ in range(MOST)]
        for client in clients:
            client.send(request("GET", "/stuck"))
        assert [client.read_response().status for client in clients] == [504] * MOST
        late = connect_process(server)
        late.send(request("GET", "/late"))
        assert late.read_response().status == 504
        assert server.wait() == 5
        assert f"as {MOST} now are, is not replaced" in server.stderr
        assert "every thread that calls the WSGI application is stuck: terminating process" in server.stderr
        assert "Traceback" not in server.stderr


def test_stuck_call_is_answered_by_the_pool_alone(site: Path, connect_process: Connect) -> None:
    """Also where it is called over the messages of ASGI, for the log to have them."""
    with ServerProcess(*STUCK, "--log-level", "trace", cwd=site) as server:
        client = connect_process(server)
        client.send(request("GET", "/stuck"))
        response = client.read_response()
        assert (response.status, response.says_close) == (504, False)
        assert client.get("/next").body == b"/next"
        server.wait_for_line("A WSGI call has not come back for 0.3 seconds: GET /stuck")
    assert "ASGI call has" not in server.stderr


def test_supervisor_replaces_a_worker_whose_threads_are_stuck(site: Path, connect_process: Connect) -> None:
    with ServerProcess(*STUCK, "--workers", "2", cwd=site) as server:
        clients = [connect_process(server) for _ in range(2 * MOST)]
        for client in clients:
            client.send(request("GET", "/stuck"))
        server.wait_for_line("died: every thread that calls the WSGI application is stuck")
        wait_until(lambda: connect_process(server).get("/next").body == b"/next", "a worker that serves")
        assert server.stop() == 0
        assert re.search(r"Child process \[\d+\] died: every thread", server.stderr)
