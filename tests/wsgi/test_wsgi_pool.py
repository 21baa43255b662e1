"""The pool: parallel calls, a bound on what waits, the end; and what calls leave on its threads."""

import contextvars
import logging
import threading
from pathlib import Path

import pytest
from support.embedded_server import EmbeddedServer, Serve
from support.error_log import ErrorLog
from support.raw_client import Connect, RawClient, post, request
from support.server_process import ServerProcess
from support.waiting import DEADLINE, wait_until
from support.wsgi_apps import PLAIN, Environ, Held, StartResponse, hello

from threadserve.wsgi import WSGIMiddleware, pool
from threadserve.wsgi.call import Call, ThreadCache
from threadserve.wsgi.sink import ResponseSink


def test_calls_run_at_once(serve: Serve, connect: Connect) -> None:
    barrier = threading.Barrier(4)

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        barrier.wait(DEADLINE)
        return hello(environ, start_response)

    server = serve(app, wsgi_threads=4)
    clients = [connect(server) for _ in range(8)]
    for client in clients:
        client.send(request())
    assert [client.read_response().status for client in clients] == [200] * 8


def warm_up(server: EmbeddedServer, connect: Connect) -> None:
    """Has the pool learn that calls are quick, so that it leaves them to one thread while they are."""
    client = connect(server)
    for _ in range(100):
        assert client.get("/quick").status == 200


def test_calls_that_become_slow_run_at_once(serve: Serve, connect: Connect) -> None:
    app = Held()
    server = serve(app, wsgi_threads=4)
    warm_up(server, connect)
    clients = [connect(server) for _ in range(4)]
    for client in clients:
        client.send(request("GET", "/held"))
    app.wait_for(4)
    app.release.set()
    assert [client.read_response().status for client in clients] == [200] * 4


def test_answer_does_not_wait_for_the_next_call(serve: Serve, connect: Connect) -> None:
    events = {path: (threading.Event(), threading.Event()) for path in ("/first", "/second")}

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        if environ["PATH_INFO"] in events:
            arrived, release = events[environ["PATH_INFO"]]
            arrived.set()
            assert release.wait(2 * DEADLINE)
        return hello(environ, start_response)

    server = serve(app, wsgi_threads=1)
    first, second = connect(server), connect(server)
    warm_up(server, connect)
    first.send(request("GET", "/first"))
    assert events["/first"][0].wait(DEADLINE)
    second.send(request("GET", "/second"))
    assert second.is_silent(0.1)
    events["/first"][1].set()
    assert events["/second"][0].wait(DEADLINE)
    assert first.read_response().body == b"/first"
    events["/second"][1].set()
    assert second.read_response().body == b"/second"


def test_quick_call_is_not_held_up_by_long_ones(serve: Serve, connect: Connect) -> None:
    app = Held()
    server = serve(app, wsgi_threads=3)
    warm_up(server, connect)
    slow = [connect(server) for _ in range(2)]
    for client in slow:
        client.send(request("GET", "/held"))
    client = connect(server)
    assert [client.get(f"/{number}").status for number in range(20)] == [200] * 20
    app.release.set()
    assert [client.read_response().status for client in slow] == [200] * 2


def test_beyond_the_queue_503_is_answered(serve: Serve, connect: Connect) -> None:
    app = Held()
    server = serve(app, wsgi_threads=2, wsgi_queue=3)
    held = [connect(server) for _ in range(2)]
    for client in held:
        client.send(request("GET", "/held"))
    app.wait_for(2)
    waiting = [connect(server) for _ in range(5)]
    for client in waiting:
        client.send(request("GET", "/late"))
    refused: list[RawClient] = []

    def look() -> bool:
        refused[:] = [client for client in waiting if not client.is_silent(0)]
        return len(refused) >= 2

    wait_until(look, "two to be refused")
    for client in refused:
        response = client.read_response()
        assert (response.status, response.header("retry-after")) == (503, b"1")
    app.release.set()
    others = [client for client in waiting if client not in refused]
    assert [client.read_response().status for client in (*held, *others)] == [200] * 5
    assert refused[0].get("/again").body == b"/again"


def test_idle_connections_hold_no_thread(serve: Serve, connect: Connect) -> None:
    server = serve(hello, wsgi_threads=1)
    idle = [connect(server) for _ in range(20)]
    for client in idle:
        assert client.get("/first").status == 200
    for client in idle:
        assert client.get("/second").status == 200


def test_slow_reader_of_a_finished_result_holds_no_thread(serve: Serve, connect: Connect) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", PLAIN)
        return [b"x" * 1_000_000] if environ["PATH_INFO"] == "/large" else [b"quick"]

    server = serve(app, wsgi_threads=1)
    slow = [connect(server, receive_buffer=4096) for _ in range(4)]
    for client in slow:
        client.send(request("GET", "/large"))
    assert connect(server).get("/quick").body == b"quick"
    for client in slow:
        assert client.read_response().body == b"x" * 1_000_000


def test_each_call_has_an_empty_context_and_threads_keep_their_locals(serve: Serve, connect: Connect) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    local = threading.local()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        before = variable.get("empty")
        variable.set(environ["PATH_INFO"])
        local.count = getattr(local, "count", 0) + 1
        start_response("200 OK", PLAIN)
        return [f"{before} {local.count}".encode()]

    client = connect(serve(app, wsgi_threads=1))
    assert [client.get(f"/{number}").body for number in range(3)] == [b"empty 1", b"empty 2", b"empty 3"]


def test_body_that_the_application_keeps_costs_no_thread(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    kept: list[memoryview] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        kept.append(environ["wsgi.input"].getbuffer())
        return hello(environ, start_response)

    client = connect(serve(app, wsgi_threads=1))
    for _ in range(3):
        client.send(post("/kept", b"body"))
        assert client.read_response().body == b"/kept"
        error_log.expect(BufferError)
    assert [bytes(each) for each in kept] == [b"body"] * 3
    for each in kept:
        each.release()


def test_log_that_fails_costs_no_thread(serve: Serve, connect: Connect) -> None:
    def fail(record: logging.LogRecord) -> bool:
        raise LookupError("a filter of the application's")

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        raise ValueError("of the application")

    client = connect(serve(app, wsgi_threads=1))
    logger = logging.getLogger("threadserve.error")
    logger.addFilter(fail)
    try:
        assert [client.get().status for _ in range(3)] == [500] * 3
    finally:
        logger.removeFilter(fail)


APP = """
import os, sys, threading, time
def app(environ, start_response):
    path = environ["PATH_INFO"]
    # In one piece, beside the access log.
    os.write(1, f"called {path}\\n".encode())
    if path == "/stuck":
        threading.Event().wait()
    if path == "/slow":
        while not os.path.exists("go on"):
            time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [path.encode()]
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with an application in it."""
    (tmp_path / "site_of_calls.py").write_text(APP)
    return tmp_path


def test_stopping_waits_for_all_threads() -> None:
    before = set(threading.enumerate())
    for _ in range(100):
        middleware = WSGIMiddleware(hello, threads=2, timeout_request=DEADLINE)
        middleware.pool.start()
        assert middleware.stop(DEADLINE)
        assert set(threading.enumerate()) <= before


def test_stopping_waits_for_a_thread_that_has_come_back(monkeypatch: pytest.MonkeyPatch, error_log: ErrorLog) -> None:
    abandoned, going, go_on = threading.Event(), threading.Event(), threading.Event()

    def linger(*line: object) -> None:
        going.set()
        assert go_on.wait(DEADLINE)

    class Stuck(Call):
        def run(self, cache: ThreadCache) -> None:
            assert abandoned.wait(DEADLINE)

        def abandon_threadsafe(self) -> None:
            abandoned.set()

    monkeypatch.setattr(pool.logger, "warning", linger)
    before = set(threading.enumerate())
    middleware = WSGIMiddleware(hello, threads=1, timeout_request=0.01)
    assert middleware.pool.submit_threadsafe([Stuck(ResponseSink(), {"method": "GET", "path": "/"}, None)]) == []
    assert going.wait(DEADLINE)
    # What is waited for is its turn, which has nothing to do with how long calls may take to their end.
    stopped: list[bool] = []
    stopping = threading.Thread(target=lambda: stopped.append(middleware.stop(0)))
    stopping.start()
    stopping.join(0.2)
    assert stopped == []
    go_on.set()
    stopping.join(DEADLINE)
    assert stopped == [True]
    assert set(threading.enumerate()) <= before
    error_log.claim_all()


def test_stopping_lets_calls_end(site: Path, connect_process: Connect) -> None:
    with ServerProcess("site_of_calls:app", "--interface", "wsgi", "--threads", "1", cwd=site) as server:
        idle, client = connect_process(server), connect_process(server)
        client.send(request("GET", "/slow"))
        server.wait_for_line("called /slow", "stdout")
        server.send_signal()
        # Then the loop knows that it is to stop.
        assert idle.is_closed()
        (site / "go on").touch()
        assert server.wait() == 0
        response = client.read_response()
        assert (response.body, response.says_close) == (b"/slow", True)


def test_stopping_leaves_stuck_calls_behind(site: Path, connect_process: Connect) -> None:
    options = ("--wsgi-threads", "1", "--timeout-graceful-shutdown", "0.2")
    with ServerProcess("site_of_calls:app", *options, cwd=site) as server:
        client = connect_process(server)
        client.send(request("GET", "/stuck"))
        server.wait_for_line("called /stuck", "stdout")
        assert server.stop() == 0
        assert "Cut off 1 request still running after" in server.stderr
        assert "Left behind: 1 WSGI thread still busy with a call." in server.stderr
