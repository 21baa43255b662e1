"""Clients that leave while a framework's stream waits for its next event: the stream ends, and nothing is logged."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from support.raw_client import clients, request
from support.server_process import ServerProcess
from support.sites import APPS, UNWATCHED, assert_quiet, need, new_client
from support.waiting import wait_until

BELOW = ["", "/base", "/plain"]
AT_ONCE = 5
TOO_MANY = "503, Service Unavailable: too many requests in flight"


@dataclass(frozen=True)
class Streams:
    """A site of `leaving`, the package that it needs, and where its streams are."""

    app: str
    package: str
    paths: tuple[str, ...]
    interface: str = "auto"

    def __str__(self) -> str:
        return self.app


STARLETTE = Streams(
    "starlette_site:app",
    "starlette",
    tuple(below + path for below in BELOW for path in ("/stream", "/sse", "/fastapi/events")),
)
SITES = [
    STARLETTE,
    Streams("quart_site:app", "quart", ("/stream", "/sse")),
    Streams("django_site:asgi", "django", ("/stream",)),
    Streams("django_site:wsgi", "django", ("/thread",), "wsgi"),
    Streams("litestar_site:app", "litestar", ("/stream", "/sse")),
]


@contextmanager
def serving(site: Streams, folder: Path) -> Iterator[ServerProcess]:
    """Serves a site, which logs nothing but requests and refusals of too many at once.

    In the end it does not wait for streams without clients.
    """
    need(site.package)
    options = ("--app-dir", str(APPS), "--interface", site.interface, "--limit-concurrency", str(AT_ONCE))
    with ServerProcess(f"leaving.{site.app}", *options, *UNWATCHED, cwd=folder) as server:
        yield server
        for path in site.paths[: AT_ONCE - 1]:
            leave(server, path, path)
        assert server.stop(deadline=10) == 0
        assert_quiet(server, TOO_MANY)


def leave(server: ServerProcess, path: str, name: str) -> None:
    """Takes the first of a stream, and goes. Calls that have noted their end may take a while to be over."""
    with new_client(server.url) as client:
        wait_until(lambda: has_begun(client, path, name), f"a place for {name}")


def has_begun(client: httpx.Client, path: str, name: str) -> bool:
    """Whether a stream was admitted; its first was taken then."""
    with client.stream("GET", path, params={"name": name}, headers={"accept": "text/event-stream"}) as response:
        if response.status_code == 503:
            return False
        assert response.status_code == 200
        assert "first" in next(response.iter_text())
        return True


def leave_unanswered(server: ServerProcess, path: str) -> None:
    """Asks for what is answered only when told to, and goes before that."""
    with clients() as connect:
        connect(server).send(request("GET", f"{path}?name={path}"))
        wait_for(server, "ended", path)
    with new_client(server.url) as client:
        client.get("/answer", params={"name": path}).raise_for_status()


def wait_for(server: ServerProcess, kind: str, name: str) -> None:
    """Waits until the site has noted a name. It is asked again where calls that have noted theirs are not over yet."""
    with new_client(server.url) as client:

        def has_noted() -> bool:
            response = client.get("/log")
            return response.status_code == 200 and name in response.json()[kind]

        wait_until(has_noted, f"{name} among what has {kind}")


@pytest.mark.parametrize("site", SITES, ids=str)
def test_stream_ends_when_its_client_leaves(site: Streams, tmp_path: Path) -> None:
    """More leave, one after the other, than may be served at once."""
    with serving(site, tmp_path) as server:
        for path in site.paths:
            for number in range(AT_ONCE + 1):
                leave(server, path, f"{path} {number}")
                wait_for(server, "ended", f"{path} {number}")


def test_background_task_runs_when_its_client_has_left(tmp_path: Path) -> None:
    """Behind a stream, and behind a response that comes too late."""
    with serving(STARLETTE, tmp_path) as server:
        for below in BELOW:
            leave(server, f"{below}/stream", f"{below} stream")
            wait_for(server, "behind", f"{below} stream")
            leave_unanswered(server, f"{below}/large")
            wait_for(server, "behind", f"{below}/large")
