"""Clients that leave while a framework's stream waits for its next event: the stream ends, and nothing is logged."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.server_process import ServerProcess
from support.sites import APPS, new_client
from support.waiting import DEADLINE, wait_until

STREAMS = ["/stream", "/sse", "/fastapi/events"]
BELOW = ["", "/base", "/plain"]
AT_ONCE = 5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("leaving")
    options = ("--app-dir", str(APPS), "--limit-concurrency", str(AT_ONCE))
    with ServerProcess("leaving_site:app", *options, cwd=folder) as started:
        yield started
        assert started.stop() == 0


def leave(url: str, path: str, name: str) -> None:
    """Takes the first of a stream, and goes."""
    with httpx.stream("GET", url + path, params={"name": name}, timeout=DEADLINE, verify=False) as response:
        assert response.status_code == 200
        assert "first" in next(response.iter_text())


def wait_for(url: str, kind: str, names: list[str]) -> None:
    """Waits until the site has noted these names."""
    with new_client(url) as client:
        wait_until(lambda: set(names) <= set(client.get("/log").json()[kind]), f"{names} among what has {kind}")


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("below", BELOW)
def test_stream_ends_when_its_client_leaves(server: ServerProcess, below: str, path: str) -> None:
    """More leave, one after the other, than may be served at once."""
    names = [f"{below}{path} {number}" for number in range(AT_ONCE + 1)]
    for name in names:
        leave(server.url, below + path, name)
        wait_for(server.url, "ended", [name])
    if path == "/stream":
        wait_for(server.url, "behind", names)
    assert [line for line in server.stderr.splitlines() if not line.startswith("INFO: ")] == []


@pytest.mark.parametrize("below", BELOW)
def test_response_to_a_client_that_has_left_is_no_error(server: ServerProcess, below: str) -> None:
    name = f"{below} large"
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{server.url}{below}/large", params={"name": name}, timeout=0.1, verify=False)
    wait_for(server.url, "behind", [name])
    assert [line for line in server.stderr.splitlines() if not line.startswith("INFO: ")] == []


def test_stop_does_not_wait_for_streams_whose_clients_have_left(tmp_path: Path) -> None:
    with ServerProcess("leaving_site:app", "--app-dir", str(APPS), cwd=tmp_path) as server:
        for path in STREAMS:
            leave(server.url, path, path)
        assert server.stop(deadline=10) == 0
