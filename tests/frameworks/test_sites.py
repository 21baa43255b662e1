"""The same scenarios for the site in every framework, by clients on all of the server's threads at once."""

import hashlib
import random
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.server_process import ServerProcess
from support.sites import APPS, Site, at_once, clients_of_all_threads, serving, thread_of
from support.waiting import DEADLINE, wait_until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

ROUNDS = 5


def test_path_and_query(clients: list[httpx.Client]) -> None:
    def ask(number: int, client: httpx.Client) -> list[str]:
        return [client.get(f"/hello/Jürgen {number}", params={"greeting": f"Grüß & {n}"}).text for n in range(ROUNDS)]

    expected = [[f"Grüß & {n}, Jürgen {number}!" for n in range(ROUNDS)] for number in range(len(clients))]
    assert at_once(clients, ask) == expected


def test_a_connection_stays_on_its_thread(clients: list[httpx.Client]) -> None:
    def ask(number: int, client: httpx.Client) -> set[str]:
        return {thread_of(client.get("/hello/you")) for _ in range(ROUNDS)}

    threads = at_once(clients, ask)
    assert {len(seen) for seen in threads} == {1}
    assert len(set.union(*threads)) == 4


def test_json(clients: list[httpx.Client]) -> None:
    def ask(number: int, client: httpx.Client) -> Any:
        return client.post("/total", json={"numbers": list(range(number))}).json()

    assert at_once(clients, ask) == [{"total": sum(range(number))} for number in range(len(clients))]


@pytest.mark.parametrize("size", [0, 1000, 3_000_000])
def test_multipart_upload(clients: list[httpx.Client], size: int) -> None:
    files = [random.Random(number).randbytes(size) for number in range(len(clients))]

    def ask(number: int, client: httpx.Client) -> Any:
        upload = {"file": (f"file-{number}.bin", files[number], "application/octet-stream")}
        return client.post("/upload", data={"title": f"Über {number}"}, files=upload).raise_for_status().json()

    assert at_once(clients, ask) == [
        {"title": f"Über {number}", "filename": f"file-{number}.bin", "digest": hashlib.sha256(data).hexdigest()}
        for number, data in enumerate(files)
    ]


def test_streamed_response(clients: list[httpx.Client]) -> None:
    def ask(number: int, client: httpx.Client) -> tuple[str, bool]:
        response = client.get("/stream", params={"parts": 100 + number, "pause": 0})
        return response.text, "content-length" in response.headers

    expected = [("".join(f"part {n}\n" for n in range(100 + number)), False) for number in range(len(clients))]
    assert at_once(clients, ask) == expected


def test_response_arrives_while_it_is_made_and_ends_when_the_client_goes(clients: list[httpx.Client]) -> None:
    def ask(number: int, client: httpx.Client) -> str:
        with client.stream("GET", "/stream", params={"parts": 1_000_000, "pause": 0.01}) as response:
            return next(response.iter_lines())

    assert at_once(clients, ask) == ["part 0"] * len(clients)


def test_streamed_request_body(clients: list[httpx.Client]) -> None:
    def pieces(number: int) -> Iterator[bytes]:
        for n in range(200):
            yield f"{number} {n} ".encode() * n

    def ask(number: int, client: httpx.Client) -> bytes:
        return client.post("/echo", content=pieces(number)).raise_for_status().content

    assert at_once(clients, ask) == [b"".join(pieces(number)) for number in range(len(clients))]


def test_background_task(site: Site, clients: list[httpx.Client]) -> None:
    if "background" in site.lacks:
        pytest.skip(f"{site.framework} has no background tasks")

    def ask(number: int, client: httpx.Client) -> Any:
        begun = client.post(f"/background/task-{number}")
        assert begun.status_code == 202
        wait_until(lambda: client.get(f"/background/task-{number}").json()["done"], f"the end of task {number}")
        return begun.json()

    assert at_once(clients, ask) == [{"begun": f"task-{number}"} for number in range(len(clients))]


def test_state_belongs_to_the_thread(site: Site, clients: list[httpx.Client]) -> None:
    if "state" in site.lacks:
        pytest.skip(f"{site.framework} has no lifespan")

    def ask(number: int, client: httpx.Client) -> list[httpx.Response]:
        return [client.get("/state").raise_for_status() for _ in range(ROUNDS)]

    visits: dict[str, list[int]] = {}
    for response in chain.from_iterable(at_once(clients, ask)):
        seen = response.json()
        assert seen["owner"] == thread_of(response)
        visits.setdefault(seen["owner"], []).append(seen["visits"])
    assert len(visits) == 4
    for numbers in visits.values():
        assert sorted(numbers) == list(range(1, len(numbers) + 1))


def test_session(clients: list[httpx.Client]) -> None:
    def ask(number: int, client: httpx.Client) -> list[Any]:
        client.post("/session", data={"name": f"visitor {number}"}).raise_for_status()
        return [client.get("/session").raise_for_status().json() for _ in range(ROUNDS)]

    assert at_once(clients, ask) == [
        [{"name": f"visitor {number}", "visits": n} for n in range(2, ROUNDS + 2)] for number in range(len(clients))
    ]


def test_session_goes_with_the_cookie_to_another_thread(clients: list[httpx.Client]) -> None:
    first = clients[0]
    name = first.post("/session", data={"name": "wanderer"}).json()["name"]
    threads = {thread_of(first.get("/session"))}
    for client in clients[1:]:
        client.cookies.update(first.cookies)
        response = client.get("/session")
        assert response.json()["name"] == name
        threads.add(thread_of(response))
    assert len(threads) == 4


def test_websocket(site: Site, server: ServerProcess, clients: list[httpx.Client]) -> None:
    if "websockets" in site.lacks:
        pytest.skip(f"{site.framework} has no WebSockets")

    def talk(number: int, client: httpx.Client) -> tuple[list[str | bytes], int | None, str | None]:
        url = f"ws://{server.host}:{server.port}/ws/echo?name={number}"
        with connect(url, origin=Origin(server.url), open_timeout=DEADLINE) as socket:
            answers = []
            for n in range(ROUNDS):
                socket.send(f"Grüße {n}")
                answers.append(socket.recv(DEADLINE))
            socket.send("bye")
            with pytest.raises(ConnectionClosed):
                socket.recv(DEADLINE)
            return answers, socket.close_code, socket.close_reason

    expected = [([f"{number}: Grüße {n}" for n in range(ROUNDS)], 4000, "goodbye") for number in range(len(clients))]
    assert at_once(clients, talk) == expected


def test_static_file(clients: list[httpx.Client]) -> None:
    style = (APPS / "static" / "style.css").read_bytes()

    def ask(number: int, client: httpx.Client) -> tuple[bytes, str, int]:
        response = client.get("/static/style.css")
        again = client.get("/static/style.css", headers={"if-modified-since": response.headers["last-modified"]})
        return response.content, response.headers["content-type"], again.status_code

    for content, media_type, second_status in at_once(clients, ask):
        assert content == style
        assert media_type.startswith("text/css")
        assert second_status == 304


def test_head_has_the_headers_and_no_body(clients: list[httpx.Client]) -> None:
    def ask(number: int, client: httpx.Client) -> tuple[str, bytes]:
        response = client.head("/static/style.css")
        assert client.get("/hello/you").status_code == 200
        return response.headers["content-length"], response.content

    size = str((APPS / "static" / "style.css").stat().st_size)
    assert at_once(clients, ask) == [(size, b"")] * len(clients)


def test_error_pages(clients: list[httpx.Client]) -> None:
    def ask(number: int, client: httpx.Client) -> tuple[int, str, int]:
        missing = client.get(f"/nothing/{number}")
        return missing.status_code, missing.text, client.post("/hello/you").status_code

    # Django checks the form's token before it looks at the method.
    for status, text, wrong_method in at_once(clients, ask):
        assert (status, text) == (404, "This site has no such page")
        assert wrong_method in (403, 405)


def test_mistake_in_the_site_is_answered_and_logged(site: Site, tmp_path: Path) -> None:
    with serving(site, tmp_path) as server, clients_of_all_threads(server.url) as clients:
        statuses = at_once(clients, lambda number, client: client.get("/boom").status_code)
        assert statuses == [500] * len(clients)
        assert at_once(clients, lambda number, client: client.get("/hello/you").status_code) == [200] * len(clients)
        server.wait_for_line("RuntimeError: the site has a mistake")
