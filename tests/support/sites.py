"""The site of `frameworks/apps` in each framework, its server, and clients that talk to all of its threads at once."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier
from typing import TypeVar

import httpx
import pytest
from support.server_process import ServerProcess
from support.waiting import DEADLINE

APPS = Path(__file__).parents[1] / "frameworks" / "apps"
THREADS = 4
CLIENTS_PER_THREAD = 2
# More connections than the kernel's choice, which is as good as random, ever needs until each thread has its own.
MOST_CLIENTS = 150
PASSWORD = "a long enough password"

T = TypeVar("T")


@dataclass(frozen=True)
class Site:
    """One framework's version of the site. `lacks` are the routes for which the framework has nothing to offer."""

    framework: str
    app: str
    lacks: frozenset[str] = field(default=frozenset())

    def __str__(self) -> str:
        return self.framework

    @property
    def is_django(self) -> bool:
        """Whether the site is a Django project, with a database."""
        return self.app.startswith("django_project")


DJANGO = Site("django", "django_project.asgi:application", frozenset({"background", "state", "websockets"}))
CHANNELS = Site("channels", "django_project.channels_asgi:application", frozenset({"background", "state"}))
SITES = [
    Site("starlette", "starlette_site:app"),
    Site("fastapi", "fastapi_site:app"),
    Site("quart", "quart_site:app"),
    DJANGO,
    CHANNELS,
]


@contextmanager
def serving(site: Site, folder: Path, *options: str) -> Iterator[ServerProcess]:
    """Serves a site on four threads; `folder` is for its database. Stops it in order in the end."""
    database = folder / "site.sqlite3"
    if site.is_django:
        database.write_bytes(migrated_database())
    env = {"SITE_DATABASE": str(database)}
    with on_all_threads(site.app, "--app-dir", str(APPS), *options, env=env, cwd=folder) as server:
        yield server


@contextmanager
def on_all_threads(app: str, *options: str, env: Mapping[str, str], cwd: Path) -> Iterator[ServerProcess]:
    """Serves an application on four threads. Stops it in order in the end."""
    # The acceptor would pass by a thread that a busy machine lets wait, as often as that happens.
    threads = ("--threads", str(THREADS), "--distribute", "kernel", "--timeout-keep-alive", "60")
    with ServerProcess(app, *threads, *options, env=env, cwd=cwd) as server:
        yield server
        assert server.stop(deadline=3 * DEADLINE) == 0, server.stderr


@cache
def migrated_database() -> bytes:
    """A database with the tables of the Django project, which are made as one does before serving it."""
    with TemporaryDirectory() as folder:
        database = Path(folder, "site.sqlite3")
        settings = {"DJANGO_SETTINGS_MODULE": "django_project.settings", "PYTHONPATH": str(APPS)}
        command = [sys.executable, "-m", "django", "migrate", "--verbosity", "0"]
        env = {**os.environ, **settings, "SITE_DATABASE": str(database)}
        subprocess.run(command, env=env, check=True, timeout=2 * DEADLINE)
        return database.read_bytes()


def need(package: str) -> None:
    """Skips where a package is not installed."""
    try:
        found = find_spec(package)
    except ModuleNotFoundError:
        found = None
    if found is None:
        pytest.skip(f"{package} is not installed: some are in the extra 'wrappers', for ordinary interpreters only")


# For `assert_quiet`: on a busy machine a loop may be held up for longer than it is meant to be.
UNWATCHED = ("--timeout-loop-stall", "0")


def assert_quiet(server: ServerProcess, *expected: str) -> None:
    """Nothing but requests has been logged, and lines that end with what is expected."""
    lines = [line for line in server.stderr.splitlines() if not line.endswith(expected)]
    assert all(line.startswith("INFO: ") for line in lines), server.stderr


def thread_of(response: httpx.Response) -> str:
    """The thread that answered."""
    return str(response.headers["x-thread"])


@contextmanager
def clients_of_all_threads(url: str, path: str = "/hello/you") -> Iterator[list[httpx.Client]]:
    """Clients with one open connection each, of which every thread of the server has two.

    What answers at `path` says in a header which thread that is.
    """
    with ExitStack() as stack:
        clients: list[httpx.Client] = []
        answers: dict[str, int] = {}
        while len(clients) < THREADS * CLIENTS_PER_THREAD:
            assert sum(answers.values()) < MOST_CLIENTS, f"not every thread has answered: {answers}"
            client = stack.enter_context(new_client(url))
            thread = thread_of(client.get(path))
            answers[thread] = answers.get(thread, 0) + 1
            if answers[thread] <= CLIENTS_PER_THREAD:
                clients.append(client)
            else:
                client.close()
        yield clients


def new_client(url: str) -> httpx.Client:
    """A client with one connection; it reads no certificates, which takes longer than the rest of a short test."""
    return httpx.Client(base_url=url, timeout=3 * DEADLINE, limits=httpx.Limits(max_connections=1), verify=False)


def at_once(clients: list[httpx.Client], action: Callable[[int, httpx.Client], T]) -> list[T]:
    """Calls `action(number, client)` for all clients at the same time; returns what each gave, or raises."""
    barrier = Barrier(len(clients))

    def run(number: int, client: httpx.Client) -> T:
        barrier.wait(DEADLINE)
        return action(number, client)

    with ThreadPoolExecutor(len(clients)) as pool:
        return list(pool.map(run, range(len(clients)), clients))


def send_form(client: httpx.Client, path: str, **fields: str) -> httpx.Response:
    """Fills in a form of Django's as a browser does: with the token from its page, and the cookie beside it."""
    page = client.get(path).raise_for_status().text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token is not None
    return client.post(path, data={"csrfmiddlewaretoken": token[1], **fields})


def register_and_log_in(client: httpx.Client, name: str) -> None:
    """Makes a new user on the Django project, who is logged in with this client then."""
    registered = send_form(client, "/register", username=name, password1=PASSWORD, password2=PASSWORD)
    assert (registered.status_code, registered.headers["location"]) == (302, "/login")
    entered = send_form(client, "/login", username=name, password=PASSWORD)
    assert (entered.status_code, entered.headers["location"]) == (302, "/account")
