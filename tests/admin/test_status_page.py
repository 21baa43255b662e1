"""The status page in a real browser: what it shows, that it goes on showing it, and that it needs nobody else."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from support.apps import Gate, respond
from support.browser import Page, browser, needs_browser, open_page
from support.embedded_server import EmbeddedServer, Serve
from support.error_log import ErrorLog
from support.waiting import DEADLINE, wait_until
from support.wsgi_apps import Environ, StartResponse
from support.wsgi_apps import hello as wsgi_hello

from threadserve.admin.app import AdminApp
from threadserve.metrics.histogram import Histogram
from threadserve.metrics.loop_metrics import LoopCounts, SlowRequest
from threadserve.metrics.states import (
    Detail,
    LoggedProblem,
    LoopState,
    PoolState,
    ProcessState,
    RunningCall,
    ServerPhase,
    ServerState,
    Stall,
)
from threadserve.threads.heartbeat import LAG_BUCKETS
from threadserve.types import Receive, Scope, Send

pytestmark = needs_browser

ADMIN = {"admin_bind": "127.0.0.1:0", "threads": 2, "lifespan": "off", "app_instance": "shared"}


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DevTools of a browser for all of these tests."""
    with browser(tmp_path_factory.mktemp("browser")) as url:
        yield url


@pytest.fixture
def page(tools: str) -> Iterator[Page]:
    """A page of its own for each test, with all that happens in it."""
    with open_page(tools) as page:
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.command(f"{domain}.enable")
        yield page


@pytest.fixture
def info(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log, from information on."""
    caplog.set_level("INFO", "threadserve.error")
    return caplog


def held_lock() -> threading.Lock:
    """A lock for an application to wait for in a call that is no Python's, so that its own line is the innermost."""
    lock = threading.Lock()
    lock.acquire()
    return lock


class Waiting:
    """Answers at once, but for /blocked, which holds up its whole thread, and /waits, until the test lets go."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.block = held_lock()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["path"]:
            case "/blocked":
                self.block.acquire(timeout=DEADLINE)
            case "/waits":
                await self.gate.wait()
        await respond(send, b"done")


class Source:
    """The state of a server that does not exist. `read_state` waits at `gate`, if any; `looks` counts its calls."""

    def __init__(self, *processes: ProcessState, **more: Any) -> None:
        self.overview = ServerState(ServerPhase.SERVING, processes, **more)
        self.gate: Gate | None = None
        self.looks = 0

    async def read_state(self, detail: Detail) -> ServerState:
        self.looks += 1
        if self.gate is not None:
            await self.gate.wait()
        return self.overview


def loop_state(number: int = 1, requests: int = 0, **more: Any) -> LoopState:
    """A loop that does nothing, unless `more` says otherwise."""
    counts = LoopCounts(requests=(0, 0, requests, 0, 0, 0, 0, 0, 0, 0))
    state = LoopState(number, True, 0.0, 0, 0, 0.0, 0, counts, Histogram(LAG_BUCKETS).read_threadsafe(), 0)
    return replace(state, **more)


def process_state(*loops: LoopState, pid: int = 4711, **more: Any) -> ProcessState:
    """A process of these loops."""
    state = ProcessState(
        pid, ServerPhase.SERVING, time.time() - 90061, 1.0, loops, None, 0, 0, 0, False, 50_000_000, 2.5, 20, 5
    )
    return replace(state, **more)


def serve_source(serve: Serve, source: Source) -> str:
    """Serves what a source tells; returns the URL of the page."""
    server = serve(AdminApp(source), threads=1, interface="asgi3", lifespan="off")
    return f"{server.url}/status"


def status_url(caplog: pytest.LogCaptureFixture) -> str:
    """Where the log says that the last server's status page is."""
    places = re.findall(r"status on (http://[^ ]+): ", caplog.text)
    return f"{places[-1]}/status"


def send_request(server: EmbeddedServer, target: str) -> socket.socket:
    """Sends a request, and reads nothing."""
    connection = socket.create_connection((server.host, server.port))
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    return connection


def wait_for_text(page: Page, pattern: str) -> "re.Match[str]":
    """Waits until the page shows what a pattern matches, by itself."""
    shown: list[str] = []

    def look() -> "re.Match[str] | None":
        shown[:] = [page.text()]
        return re.search(pattern, shown[0])

    try:
        wait_until(look, pattern)
    except TimeoutError:
        pytest.fail(f"no {pattern!r} in the page:\n{shown[0]}\n{complaints(page)}")
    match = re.search(pattern, shown[0])
    assert match is not None
    return match


def complaints(page: Page) -> list[dict[str, Any]]:
    """What the console of the page has, and exceptions of its script."""
    # What has happened by now is told before this is answered.
    page.run("0")
    return [
        *page.told("Log.entryAdded"), *page.told("Runtime.consoleAPICalled"), *page.told("Runtime.exceptionThrown"),
    ]  # fmt: skip


def visit(page: Page, url: str) -> None:
    """Has the page go to a URL."""
    page.command("Page.navigate", url=url)


def test_what_blocks_a_thread_is_shown_while_it_does(serve: Serve, page: Page, info: pytest.LogCaptureFixture) -> None:
    waiting = Waiting()
    server = serve(waiting.app, timeout_loop_stall=0.2, **ADMIN)
    url = status_url(info)
    visit(page, url)
    wait_for_text(page, r"serving\s+live\s+ready")
    assert "blocked for" not in page.text()
    with send_request(server, "/blocked?secret=1"):
        try:
            wait_for_text(page, r"blocked for \d+\.\d+ s at \S*test_status_page\.py:\d+ in app\s+GET /blocked for \d")
            wait_for_text(page, r"goes on")
            assert page.run("document.title") == "1 blocked | threadserve"
            assert page.run("document.querySelectorAll('tr.alarm').length") == 1
        finally:
            waiting.block.release()
        wait_until(lambda: "blocked for" not in page.text(), "the page to show that it turns again")
    wait_for_text(page, r"Loop thread \d turns again")
    wait_for_text(page, r"All\s+\d+ %\s+\d+\.\d\s+0\s")
    assert "secret" not in page.run("document.documentElement.outerHTML")
    assert complaints(page) == []
    asked = {event["request"]["url"] for event in page.told("Network.requestWillBeSent")}
    assert asked == {url, f"{url}.json"}


def test_where_a_request_waits(serve: Serve, page: Page, info: pytest.LogCaptureFixture) -> None:
    waiting = Waiting()
    server = serve(waiting.app, **ADMIN)
    visit(page, status_url(info))
    with send_request(server, "/waits?secret=1"):
        try:
            wait_for_text(page, r"serving\s+GET /waits for \S+ m?s at \S*apps\.py:\d+ in wait")
        finally:
            waiting.gate.open()
        wait_until(lambda: "/waits" not in page.text(), "the request to end")


def test_the_threads_of_a_wsgi_application(serve: Serve, page: Page, info: pytest.LogCaptureFixture) -> None:
    block = held_lock()

    def app(environ: Environ, start_response: StartResponse) -> Any:
        block.acquire(timeout=DEADLINE)
        return wsgi_hello(environ, start_response)

    server = serve(app, interface="wsgi", wsgi_threads=3, **ADMIN)
    visit(page, status_url(info))
    with send_request(server, "/call?secret=1"):
        try:
            wait_for_text(page, r"1 of 3\s+GET /call for \d+\.\d s at \S*\.py:\d+ in ")
        finally:
            block.release()
        wait_for_text(page, r"0 of 3\s+none")
    assert "secret" not in page.text()


def test_a_page_is_told_apart_from_what_is_no_longer_true(serve: Serve, page: Page) -> None:
    """It does not ask again while it waits, and goes on as soon as there is an answer."""
    source = Source(process_state(loop_state()))
    visit(page, serve_source(serve, source))
    wait_for_text(page, "As of ")
    assert "does not answer" not in page.text()
    source.gate = gate = Gate()
    try:
        gate.wait_for_arrivals()
        asked = source.looks
        wait_for_text(page, r"The server does not answer\.")
        wait_for_text(page, r"As of .+: what is shown is \d+ seconds old\.")
        assert source.looks == asked
    finally:
        source.gate = None
        gate.open()
    wait_until(lambda: "does not answer" not in page.text(), "the page to go on")
    wait_until(lambda: source.looks > asked, "another question")


def test_a_failure_is_told_with_its_status(serve: Serve, page: Page, error_log: ErrorLog) -> None:
    source = Source(process_state(loop_state()))
    url = serve_source(serve, source)
    visit(page, url)
    wait_for_text(page, "As of ")
    well, source.overview = source.overview, None  # type: ignore[assignment]
    wait_for_text(page, r"The server does not answer: status 500\.")
    source.overview = well
    wait_until(lambda: "does not answer" not in page.text(), "the page to go on")
    error_log.claim_all()


def test_a_server_that_has_ended(serve: Serve, page: Page) -> None:
    server = EmbeddedServer(AdminApp(Source(process_state(loop_state()))), lifespan="off", threads=1)
    server.start()
    try:
        visit(page, f"{server.url}/status")
        wait_for_text(page, "As of ")
    finally:
        server.stop()
    wait_for_text(page, r"The server does not answer: .+\.")
    wait_for_text(page, r"what is shown is \d+ seconds? old")


def test_several_processes(serve: Serve, page: Page) -> None:
    now = time.time()
    slow = SlowRequest(now, "GET /slow", 200, 2.5, 0.5, 1)
    first = process_state(loop_state(1, slow=(slow,), calls=(RunningCall("GET /one", 0.25),), in_flight=1), pid=11)
    stall = Stall(2, now, 3.25, 'File "/app/views.py", line 7, in view')
    pool = PoolState(4, 3, 1, 5, 100, 2, 6)
    loops = loop_state(1, connections=2), loop_state(2, has_started=False, websockets=3)
    second = process_state(*loops, pid=12, stalls=(stall,), pool=pool, is_gil_enabled=True, threads_replaced=1)
    problem = LoggedProblem(now, "ERROR", "A worker has died")
    source = Source(first, second, workers=3, unresponsive=(13,), workers_replaced=4, problems=(problem,))
    visit(page, serve_source(serve, source))
    for pattern in (
        r"GIL off and on · oldest process up 1 d 1 h · 2 of 3 workers · 4 replaced", r"No answer from process 13\.",
        r"Process 11\n", r"Process 12\n", r"1 thread died and replaced", r"serving\s+GET /one for 0\.25 s",
        r"2\s+starting", r"3 of 4\s+none\s+5 of 100\s+1\s+2\s+6", r"12 / 2\s+3\.3 s\s+/app/views\.py:7 in view",
        r"GET /slow\s+200\s+2\.5 s\s+0\.50 s\s+11 / 1", r"error\s+supervisor\s+A worker has died",
        r"Memory\s+100 MB\s+Descriptors\s+40",
    ):  # fmt: skip
        wait_for_text(page, pattern)
    assert complaints(page) == []


class Growing(Source):
    """Tells of a loop that has answered a thousand requests more each time, and taken ten seconds of CPU for them."""

    async def read_state(self, detail: Detail) -> ServerState:
        process = process_state(loop_state(requests=1000 * self.looks), cpu_seconds=10.0 * self.looks)
        self.overview = ServerState(ServerPhase.SERVING, (process,))
        return await super().read_state(detail)


def test_rates_come_from_two_answers(serve: Serve, page: Page) -> None:
    visit(page, serve_source(serve, Growing()))
    wait_for_text(page, r"Requests/s\s+\d{2,4}\s[\s\S]*CPU\s+\d{2,4} %")
    visit(page, serve_source(serve, Source(process_state(loop_state(requests=1000)))))
    wait_for_text(page, r"Requests/s\s+0\.0\s[\s\S]*CPU\s+0 %")


def test_what_comes_from_the_server_is_no_markup(serve: Serve, page: Page) -> None:
    words = '<img src="http://127.0.0.1:9/x" onerror="alert(1)"><script>alert(2)</script>'
    loop = loop_state(calls=(RunningCall(f"GET /{words}", 1.0, words),), place=words)
    problem = LoggedProblem(time.time(), "WARNING", words)
    visit(page, serve_source(serve, Source(process_state(loop, problems=(problem,)))))
    wait_for_text(page, re.escape(f"GET /{words} for 1.0 s at {words}"))
    wait_for_text(page, "warning\\s+" + re.escape(words))
    assert page.run("document.querySelectorAll('img').length") == 0
    assert page.run("document.querySelectorAll('script').length") == 1
    assert complaints(page) == []


def test_only_so_much_is_shown_of_what_is_in_flight(serve: Serve, page: Page) -> None:
    """What is open for long is behind what is not."""
    sockets = tuple(RunningCall(f"WebSocket /socket{number}", 1000.0) for number in range(100))
    requests = (RunningCall("GET /request", 1.0),)
    visit(page, serve_source(serve, Source(process_state(loop_state(calls=sockets + requests, websockets=100)))))
    wait_for_text(page, r"GET /request for 1\.0 s\s+WebSocket /socket\d+ for 16 min 40 s\s")
    wait_for_text(page, "and 93 more")


def test_a_selection_outlives_the_next_answer(serve: Serve, page: Page) -> None:
    source = Source(process_state(loop_state(calls=(RunningCall("GET /selected", 1.0),))))
    visit(page, serve_source(serve, source))
    wait_for_text(page, "GET /selected")
    page.run("getSelection().selectAllChildren([...document.querySelectorAll('code')].at(-1))")
    asked = source.looks
    wait_until(lambda: source.looks > asked + 1, "two more answers")
    assert page.run("String(getSelection())") == "GET /selected"


@pytest.mark.parametrize("width", [360, 800, 1280])
def test_nothing_is_beyond_the_edge(width: int, serve: Serve, page: Page) -> None:
    path = 'File "/srv/' + "a_long_folder/" * 12 + 'views.py", line 7, in view'
    calls = (RunningCall("GET /" + "long" * 60, 1.0, path),)
    loops = loop_state(1, stalled_seconds=5.0, place=path, calls=calls), loop_state(2, requests=123_456_789)
    stalls = (Stall(1, time.time() - 100_000, None, path),)
    page.command("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
    visit(page, serve_source(serve, Source(process_state(*loops, stalls=stalls))))
    wait_for_text(page, "blocked for 5.0 s")
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("innerWidth") == width


def test_colours_are_those_that_the_reader_prefers(serve: Serve, page: Page) -> None:
    visit(page, serve_source(serve, Source(process_state(loop_state()))))
    wait_for_text(page, "As of ")
    brightness: list[int] = []
    for scheme in ("light", "dark"):
        page.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        colour = page.run("getComputedStyle(document.body).backgroundColor")
        brightness.append(sum(map(int, re.findall(r"\d+", colour))))
    assert brightness[0] > 3 * 200
    assert brightness[1] < 3 * 50


def test_tables_are_tables_to_those_who_do_not_see_them(serve: Serve, page: Page) -> None:
    """Also on a telephone, where their rows are shown as cards."""
    page.command("Emulation.setDeviceMetricsOverride", width=360, height=800, deviceScaleFactor=1, mobile=True)
    visit(page, serve_source(serve, Source(process_state(loop_state()))))
    wait_for_text(page, "As of ")
    nodes = page.command("Accessibility.getFullAXTree")["nodes"]
    named = [(node["role"]["value"], node.get("name", {}).get("value")) for node in nodes if "role" in node]
    assert ("table", "Loop threads") in named
    assert ("columnheader", "In flight") in named
    assert ("rowheader", "Thread 1") in named


def test_without_javascript_it_says_where_to_look(serve: Serve, page: Page) -> None:
    page.command("Emulation.setScriptExecutionDisabled", value=True)
    visit(page, serve_source(serve, Source(process_state(loop_state()))))
    wait_for_text(page, r"needs JavaScript; what it would show is in /status\.json")
