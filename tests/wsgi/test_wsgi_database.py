"""Connections to a database live as long as Django means them to, and what belongs to a request ends with it."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.postgresql import PostgreSQL, postgresql, program
from support.server_process import ServerProcess
from support.sites import at_once, new_client
from support.waiting import DEADLINE, wait_until

pytest.importorskip("django")

APPS = Path(__file__).with_name("apps")
THREADS = 3
needs_postgresql = pytest.mark.skipif(program("initdb") is None, reason="PostgreSQL is not installed")

Site = Callable[..., ServerProcess]


@pytest.fixture(scope="module")
def database() -> Iterator[PostgreSQL]:
    """A PostgreSQL server."""
    with postgresql() as server:
        yield server


@pytest.fixture
def name() -> str:
    """What the connections of the site call themselves."""
    return f"site-{secrets.token_hex(4)}"


@pytest.fixture
def serve(database: PostgreSQL, name: str, tmp_path: Path) -> Iterator[Site]:
    """`serve(max_age, *options)` starts the site."""
    with ExitStack() as servers:

        def start(max_age: int, *options: str) -> ServerProcess:
            env = {
                **os.environ,
                "SITE_FOLDER": str(tmp_path),
                "SITE_DATABASE": str(database.folder),
                "SITE_CONN_MAX_AGE": str(max_age),
                "SITE_NAME": name,
            }
            server = ServerProcess(
                "django_site_with_postgresql:application",
                *("--app-dir", str(APPS), "--interface", "wsgi", "--wsgi-threads", str(THREADS), *options),
                env=env,
                cwd=tmp_path,
            )
            return servers.enter_context(server)

        yield start


def ask_at_once(server: ServerProcess, clients: int, requests: int) -> list[dict[str, Any]]:
    """Everything that several clients are answered."""
    with ExitStack() as stack:
        every = [stack.enter_context(new_client(server.url)) for _ in range(clients)]
        answers = at_once(every, lambda _, client: [client.get("/backend").json() for _ in range(requests)])
    return [answer for of_client in answers for answer in of_client]


@needs_postgresql
def test_persistent_connections_are_as_many_as_threads(serve: Site, database: PostgreSQL, name: str) -> None:
    server = serve(600)
    answers = ask_at_once(server, 8, 20)
    assert len({answer["thread"] for answer in answers}) == THREADS
    # One connection for each thread, from the first request to the last.
    of_threads = {(answer["thread"], answer["backend"]) for answer in answers}
    assert len(of_threads) == THREADS
    assert sorted(database.backends(name)) == sorted(backend for _, backend in of_threads)
    assert server.stop() == 0, server.stderr
    wait_until(lambda: not database.backends(name), "the connections to be closed")


@needs_postgresql
def test_connections_end_with_their_requests(serve: Site, database: PostgreSQL, name: str) -> None:
    server = serve(0)
    answers = ask_at_once(server, 8, 10)
    assert len({answer["backend"] for answer in answers}) == len(answers)
    assert all(answer["backend"] == answer["again"] for answer in answers)
    wait_until(lambda: not database.backends(name), "the connections to be closed")
    assert server.stop() == 0, server.stderr


@needs_postgresql
def test_a_connection_that_has_broken_or_failed_is_replaced(serve: Site, database: PostgreSQL, name: str) -> None:
    server = serve(600, "--wsgi-threads", "1")
    with new_client(server.url) as client:
        (first,) = {client.get("/backend").json()["backend"] for _ in range(3)}
        with database.connect() as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", (first,))
        wait_until(lambda: not database.backends(name), "the connection to be closed")
        (second,) = {client.get("/backend").json()["backend"] for _ in range(3)}
        assert second != first
        assert client.get("/broken").status_code == 500
        assert client.get("/backend").status_code == 200
    assert len(database.backends(name)) == 1


@needs_postgresql
def test_threads_that_are_replaced_leave_no_connection(
    serve: Site, database: PostgreSQL, name: str, tmp_path: Path
) -> None:
    # Long enough to connect to the database.
    server = serve(600, "--timeout-request", "2")
    with ExitStack() as stack:
        clients = [stack.enter_context(new_client(server.url)) for _ in range(2 * THREADS)]
        answers = at_once(clients, lambda _, client: client.get("/stuck").status_code)
    assert answers == [504] * 2 * THREADS
    # Those that are stuck have theirs still.
    assert len(list(tmp_path.glob("stuck-*"))) == len(database.backends(name)) == 2 * THREADS
    with new_client(server.url) as client:
        assert client.get("/backend").status_code == 200
    (tmp_path / "go-on").touch()
    wait_until(lambda: len(database.backends(name)) <= THREADS, "the connections of threads that have ended")
    assert len({answer["backend"] for answer in ask_at_once(server, 8, 5)}) <= THREADS
    assert len(database.backends(name)) <= THREADS
    assert server.stderr.count("in stuck\n") == 2 * THREADS
    assert "    time.sleep(0.01)\n" in server.stderr
    assert server.stop() == 0, server.stderr


@needs_postgresql
def test_locals_do_not_leak_between_requests(serve: Site) -> None:
    server = serve(600, "--wsgi-threads", "1")
    with httpx.Client(base_url=server.url, timeout=DEADLINE) as client:
        answers = [client.get("/locals", params={"user": f"user {number}"}).json() for number in range(3)]
    assert [answer["left"] for answer in answers] == [[None, None]] * 3
    assert len({answer["thread"] for answer in answers}) == 1
