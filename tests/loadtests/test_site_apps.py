"""The load-test sites over real sockets: the same answers from each framework, and what only ASGI has."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import httpx
import pytest
from support.server_process import PACKAGE_ROOT, ServerProcess
from support.sites import new_client
from support.waiting import DEADLINE
from support.websocket_client import ConnectWebSocket, text, websocket_clients

from loadtests.apps import catalogue
from loadtests.apps.blocking import BLOCKED_SECONDS

THREADS = 4
# Nobody is hung up on between two requests, however long the client takes over them.
KEPT_OPEN = ("--timeout-keep-alive", "60")
SITES = {
    "site": ("loadtests.apps.site:app",),
    "site_flask": ("loadtests.apps.site_flask:app", "--interface", "wsgi"),
    "site_django": ("loadtests.apps.site_django:app", "--interface", "wsgi"),
}
BAD_ORDERS = [b"{", b"[]", b'{"item": true, "quantity": 1}', b'{"item": 201, "quantity": 1}', b'{"item": 1}']


@pytest.fixture(scope="module", params=SITES)
def served(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    with ServerProcess(*SITES[request.param], "--threads", str(THREADS), *KEPT_OPEN, cwd=PACKAGE_ROOT) as server:
        yield server
        assert server.stop(deadline=2 * DEADLINE) == 0, server.stderr
        assert "Traceback" not in server.stderr


@pytest.fixture
def client(served: ServerProcess) -> Iterator[httpx.Client]:
    with new_client(served.url) as client:
        yield client


@pytest.fixture
def connect() -> Iterator[ConnectWebSocket]:
    with websocket_clients() as connect:
        yield connect


@pytest.fixture
def lone_loop() -> Iterator[ServerProcess]:
    with ServerProcess(*SITES["site"], "--threads", "1", *KEPT_OPEN, cwd=PACKAGE_ROOT) as server:
        yield server


def media_type(response: httpx.Response) -> str:
    return str(response.headers["content-type"].partition(";")[0])


def test_the_front_page_counts_the_visits_of_each_visitor(served: ServerProcess, client: httpx.Client) -> None:
    pages = [client.get("/") for _ in range(3)]
    assert [page.text for page in pages] == [catalogue.page(visits) for visits in (1, 2, 3)]
    assert {media_type(page) for page in pages} == {"text/html"}
    with new_client(served.url) as other:
        assert other.get("/").text == catalogue.page(1)


def test_a_cookie_of_somebody_else_counts_for_nothing(client: httpx.Client) -> None:
    for name in ("visits", "session", "sessionid"):
        client.cookies.set(name, "something else")
    assert client.get("/").text == catalogue.page(1)


def test_the_page_names_its_assets(client: httpx.Client) -> None:
    page = client.get("/").text
    for name, (kind, content) in catalogue.STATIC.items():
        assert f'"/static/{name}"' in page
        asset = client.get(f"/static/{name}")
        assert (asset.content, media_type(asset)) == (content, kind)
        assert 1000 < len(content) < 10_000
    assert client.get("/static/other.css").status_code == 404


def test_items(client: httpx.Client) -> None:
    pages = [client.get("/api/items", params={"page": number}).json() for number in range(1, catalogue.PAGES + 1)]
    assert list(chain(*pages)) == catalogue.ITEMS
    assert client.get("/api/items").json() == pages[0]
    last = len(catalogue.ITEMS)
    assert client.get(f"/api/items/{last}").json() == catalogue.ITEMS[-1]
    for number in (0, last + 1):
        assert client.get(f"/api/items/{number}").status_code == 404


def test_an_order_has_a_total(client: httpx.Client) -> None:
    answer = client.post("/api/orders", json={"item": 3, "quantity": 2})
    assert answer.json() == {"item": 3, "quantity": 2, "total": 2 * catalogue.ITEMS[2]["price"]}
    assert media_type(answer) == "application/json"


@pytest.mark.parametrize("body", BAD_ORDERS)
def test_a_bad_order_is_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/api/orders", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    "target",
    [
        "/api/items?page=x",
        "/api/items?page=11",
        "/download?bytes=-1",
        "/download?bytes=9999999999",
        "/stream?lines=1.5",
    ],
)
def test_a_bad_number_is_refused(client: httpx.Client, target: str) -> None:
    answer = client.get(target)
    assert answer.status_code == 422
    assert "is no number" in answer.json()["detail"]


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_uploads_are_counted(client: httpx.Client, size: int) -> None:
    """With and without a length that the client tells in advance."""
    assert client.post("/upload", content=b"x" * size).json() == {"bytes": size}
    assert client.post("/upload", content=catalogue.pieces(size)).json() == {"bytes": size}


@pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_000])
def test_downloads(client: httpx.Client, size: int) -> None:
    answer = client.get("/download", params={"bytes": size})
    assert answer.content == b"".join(catalogue.pieces(size))
    assert answer.headers["content-length"] == str(len(answer.content)) == str(size)


def test_a_stream_of_lines_is_chunked(client: httpx.Client) -> None:
    answer = client.get("/stream", params={"lines": 12})
    assert answer.text.splitlines() == [f"line {number}" for number in range(1, 13)]
    assert answer.headers["transfer-encoding"] == "chunked"


def test_block_takes_its_time(client: httpx.Client) -> None:
    began = time.monotonic()
    assert client.get("/block").text == "blocked"
    assert time.monotonic() - began >= BLOCKED_SECONDS


def test_whoami_tells_process_and_thread(served: ServerProcess) -> None:
    """A blocked request holds its thread, so that the next ones are answered elsewhere."""

    def ask(path: str) -> list[str]:
        with new_client(served.url) as client:
            return client.get(path).text.split()

    with ThreadPoolExecutor(2) as pool:
        answers: list[list[str]] = []
        while len({thread for _, thread in answers}) < 2:
            assert len(answers) < 2000, answers
            blocked = pool.submit(ask, "/block")
            while not blocked.done():
                answers.append(ask("/whoami"))
            blocked.result(DEADLINE)
    assert {int(process) for process, _ in answers} == {served.pid}


def test_events_come_one_by_one(lone_loop: ServerProcess) -> None:
    with new_client(lone_loop.url) as client:
        assert client.get("/events?count=3&interval=0").content == b"".join(map(catalogue.event, (1, 2, 3)))
        with client.stream("GET", "/events?count=2&interval=60") as answer:
            assert media_type(answer) == "text/event-stream"
            assert next(answer.iter_bytes()) == catalogue.event(1)
        for interval in ("x", "nan", "-1", "61"):
            assert client.get(f"/events?interval={interval}").status_code == 422


def test_the_chat_reaches_everybody_in_the_room(lone_loop: ServerProcess, connect: ConnectWebSocket) -> None:
    members = [connect(lone_loop) for _ in range(4)]
    for member in members[:3]:
        member.open("/chat?room=blue")
    members[3].open("/chat?room=green")
    members[0].send(text('{"number": 1}'))
    assert [member.read_text() for member in members[:3]] == ['{"number": 1}'] * 3
    members[0].close()
    members[1].send(text('{"number": 2}'))
    assert [member.read_text() for member in members[1:3]] == ['{"number": 2}'] * 2
    members[3].send(text('{"number": 3}'))
    assert members[3].read_text() == '{"number": 3}'


def test_in_a_chat_of_several_loops_one_hears_oneself(connect: ConnectWebSocket) -> None:
    """Also where all threads share one instance of the application."""
    with ServerProcess(
        *SITES["site"], "--threads", str(THREADS), "--app-instance", "shared", cwd=PACKAGE_ROOT
    ) as server:
        members = [connect(server) for _ in range(2 * THREADS)]
        for member in members:
            member.open("/chat?room=blue")
        for number, member in enumerate(members):
            member.send(text(str(number)))
            while member.read_text() != str(number):
                pass
        assert server.stop(deadline=2 * DEADLINE) == 0
        assert "Traceback" not in server.stderr


IMPORTED_AT_ONCE = """
import importlib, sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

barrier = Barrier(8)

def load(number):
    barrier.wait(60)
    return importlib.import_module(sys.argv[1]).app

with ThreadPoolExecutor(8) as pool:
    assert len(set(map(id, pool.map(load, range(8))))) == 1
"""


@pytest.mark.parametrize("site", SITES)
def test_several_threads_may_import_a_site_at_once(site: str) -> None:
    command = [sys.executable, "-W", "error", "-c", IMPORTED_AT_ONCE, f"loadtests.apps.{site}"]
    finished = subprocess.run(command, cwd=PACKAGE_ROOT, capture_output=True, text=True, timeout=3 * DEADLINE)
    assert (finished.returncode, finished.stderr) == (0, "")
