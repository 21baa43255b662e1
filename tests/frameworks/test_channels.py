"""Channels' consumers: Django's users and database behind WebSockets, groups, and foreign pages kept out."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from support.server_process import ServerProcess
from support.sites import CHANNELS, at_once, clients_of_all_threads, register_and_log_in, serving
from support.waiting import DEADLINE
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The server of the project."""
    with serving(CHANNELS, tmp_path_factory.mktemp("consumers")) as running:
        yield running
    assert "Traceback" not in running.stderr


def open_socket(
    server: ServerProcess, path: str, client: httpx.Client | None = None, page: str | None = None
) -> ClientConnection:
    """A WebSocket for a visitor, who may have logged in by HTTP; `page` is where the visitor's script comes from."""
    cookies = client.cookies.items() if client is not None else []
    return connect(
        f"ws://{server.host}:{server.port}{path}",
        origin=Origin(page or server.url),
        additional_headers={"Cookie": "; ".join(f"{name}={value}" for name, value in cookies)},
        open_timeout=DEADLINE,
    )


def test_consumers_know_who_has_logged_in(server: ServerProcess) -> None:
    def visit(number: int, client: httpx.Client) -> tuple[str, str]:
        register_and_log_in(client, f"visitor-{number}")
        with open_socket(server, "/ws/who", client) as socket:
            socket.send(f"hello {number}")
            answer = json.loads(socket.recv(DEADLINE))
            assert answer["users"] >= 1
            return answer["user"], answer["said"]

    with clients_of_all_threads(server.url) as clients:
        expected = [(f"visitor-{number}", f"hello {number}") for number in range(len(clients))]
        assert at_once(clients, visit) == expected


def test_is_one_for_all_threads(server: ServerProcess) -> None:
    server.wait_for_line(r"4 threads, 1 app instance \(shared: it has set up Django")


def test_visitor_without_a_login_is_nobody(server: ServerProcess) -> None:
    with open_socket(server, "/ws/who") as socket:
        socket.send("hello")
        assert json.loads(socket.recv(DEADLINE))["user"] == ""


def test_page_of_another_host_gets_no_websocket(server: ServerProcess) -> None:
    with (
        pytest.raises(InvalidStatus) as refused,
        open_socket(server, "/ws/who", page="http://elsewhere.example") as socket,
    ):
        socket.ping()
    assert refused.value.response.status_code == 403


def test_group_of_one_thread(tmp_path: Path) -> None:
    # The channel layer in memory belongs to one event loop.
    with serving(CHANNELS, tmp_path, "--threads", "1") as server, ExitStack() as stack:
        kitchen = [stack.enter_context(open_socket(server, "/ws/chat/kitchen")) for _ in range(3)]
        cellar = stack.enter_context(open_socket(server, "/ws/chat/cellar"))
        kitchen[0].send(json.dumps({"text": "dinner!"}))
        cellar.send(json.dumps({"text": "wine?"}))
        assert [json.loads(socket.recv(DEADLINE)) for socket in kitchen] == [{"text": "dinner!"}] * 3
        assert json.loads(cellar.recv(DEADLINE)) == {"text": "wine?"}
