"""The load-test sites over real sockets: the same answers from each framework, and what only ASGI has."""

import time
from collections.abc import Iterator
from itertools import chain

import httpx
import pytest
from support.server_process import PACKAGE_ROOT, ServerProcess
from support.sites import new_client
from support.waiting import DEADLINE
from support.websocket_client import ConnectWebSocket, text, websocket_clients

from loadtests.apps import catalogue
from loadtests.apps.asgi import BLOCKED_SECONDS

# Nobody is hung up on between two requests, however long the client takes over them.
KEPT_OPEN = ("--timeout-keep-alive", "60")
SITES = {
    "site": ("loadtests.apps.site:app", "--threads", "1"),
    "site_flask": ("loadtests.apps.site_flask:app", "--interface", "wsgi"),
    "site_django": ("loadtests.apps.site_django:app", "--interface", "wsgi"),
}
only_asgi = pytest.mark.parametrize("served", ["site"], indirect=True)


@pytest.fixture(scope="module", params=SITES)
def served(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    with ServerProcess(*SITES[request.param], *KEPT_OPEN, cwd=PACKAGE_ROOT) as server:
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


def media_type(response: httpx.Response) -> str:
    return str(response.headers["content-type"].partition(";")[0])


def test_the_front_page_counts_the_visits_of_each_visitor(served: ServerProcess, client: httpx.Client) -> None:
    pages = [client.get("/") for _ in range(3)]
    assert [page.text for page in pages] == [catalogue.page(visits) for visits in (1, 2, 3)]
    assert {media_type(page) for page in pages} == {"text/html"}
    with new_client(served.url) as other:
        assert other.get("/").text == catalogue.page(1)


@only_asgi
def test_the_page_names_its_assets(client: httpx.Client) -> None:
    page = client.get("/").text
    for name, (kind, content) in catalogue.STATIC.items():
        assert f'"/static/{name}"' in page
        asset = client.get(f"/static/{name}")
        assert (asset.content, media_type(asset)) == (content, kind)
        assert 1000 < len(content) < 10_000


def test_items(client: httpx.Client) -> None:
    pages = [client.get("/api/items", params={"page": number}).json() for number in range(1, catalogue.PAGES + 1)]
    assert list(chain(*pages)) == catalogue.ITEMS
    last = len(catalogue.ITEMS)
    assert client.get(f"/api/items/{last}").json() == catalogue.ITEMS[-1]


def test_orders(client: httpx.Client) -> None:
    answer = client.post("/api/orders", json={"item": 3, "quantity": 2})
    assert answer.json() == {"item": 3, "quantity": 2, "total": 2 * catalogue.ITEMS[2]["price"]}
    assert media_type(answer) == "application/json"


@only_asgi
def test_what_is_refused(client: httpx.Client) -> None:
    assert client.get(f"/api/items/{len(catalogue.ITEMS) + 1}").status_code == 404
    for bad in (b"[]", b'{"item": 201, "quantity": 1}', b'{"item": 1}'):
        assert client.post("/api/orders", content=bad).status_code == 422


@only_asgi
@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_uploads_are_counted(client: httpx.Client, size: int) -> None:
    """With and without a length that the client tells in advance."""
    assert client.post("/upload", content=b"x" * size).json() == {"bytes": size}
    assert client.post("/upload", content=catalogue.pieces(size)).json() == {"bytes": size}


@only_asgi
@pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_000])
def test_downloads(client: httpx.Client, size: int) -> None:
    answer = client.get("/download", params={"bytes": size})
    assert answer.content == b"".join(catalogue.pieces(size))
    assert answer.headers["content-length"] == str(len(answer.content)) == str(size)


@only_asgi
def test_a_stream_of_lines_is_chunked(client: httpx.Client) -> None:
    answer = client.get("/stream", params={"lines": 12})
    assert answer.text.splitlines() == [f"line {number}" for number in range(1, 13)]
    assert answer.headers["transfer-encoding"] == "chunked"


@only_asgi
def test_block_takes_its_time(client: httpx.Client) -> None:
    began = time.monotonic()
    assert client.get("/block").text == "blocked"
    assert time.monotonic() - began >= BLOCKED_SECONDS


@only_asgi
def test_events_come_one_by_one(client: httpx.Client) -> None:
    assert client.get("/events?count=3&interval=0").content == b"".join(map(catalogue.event, (1, 2, 3)))
    with client.stream("GET", "/events?count=2&interval=60") as answer:
        assert media_type(answer) == "text/event-stream"
        assert next(answer.iter_bytes()) == catalogue.event(1)


@only_asgi
def test_the_chat_reaches_everybody_in_the_room(served: ServerProcess, connect: ConnectWebSocket) -> None:
    members = [connect(served) for _ in range(4)]
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
