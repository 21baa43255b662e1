"""Projects as people lay them out, on all threads at once: each answers as it would on one thread.

Every project says in its headers which thread and which copy of it has answered.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
from support.command_line import run_module
from support.server_process import ServerProcess
from support.sites import THREADS, at_once, clients_of_all_threads, need, on_all_threads, thread_of
from support.waiting import DEADLINE, wait_until
from websockets.sync.client import connect

PROJECTS = Path(__file__).parent / "projects"
ROUNDS = 2


@dataclass(frozen=True)
class Served:
    """A project that is served, and clients with a connection each, two for every thread."""

    server: ServerProcess
    clients: list[httpx.Client]
    instances: list[str]

    def assert_everywhere(self, expected: Any, method: str, path: str, **request: Any) -> None:
        """Asks several times for each client at once; what the copy that has answered is called counts as INSTANCE."""

        def ask(number: int, client: httpx.Client) -> list[Any]:
            return [self._answer(client.request(method, path, **request), number) for _ in range(ROUNDS)]

        assert at_once(self.clients, ask) == [[expected] * ROUNDS] * len(self.clients)

    def _answer(self, response: httpx.Response, number: int) -> Any:
        text = response.text.replace(self.instances[number], "INSTANCE")
        return json.loads(text) if response.headers["content-type"].startswith("application/json") else text


@contextmanager
def serving(project: str, app: str, folder: Path, *options: str, copies: int = THREADS) -> Iterator[Served]:
    """Serves a project on four threads, with so many copies; its log must have no error in the end."""
    app_dir = str(PROJECTS / project)
    env = {"SITE_DATABASE": str(folder / "site.sqlite3"), "PYTHONUNBUFFERED": "1"}
    with (
        on_all_threads(app, "--app-dir", app_dir, *options, env=env, cwd=folder) as server,
        clients_of_all_threads(server.url, "/") as clients,
    ):
        answers = [client.get("/") for client in clients]
        instances = [answer.headers["x-instance"] for answer in answers]
        assert len(set(instances)) == copies
        assert len(set(zip(map(thread_of, answers), instances, strict=True))) == THREADS
        yield Served(server, clients, instances)
    for unwanted in ("ERROR", "Traceback", "The GIL is on"):
        assert unwanted not in server.stderr


def test_fastapi_package(tmp_path: Path) -> None:
    """SQLAlchemy's async engine needs greenlet, of which there is no free-threaded build."""
    need("fastapi")
    with serving("fastapi_package", "app.main:app", tmp_path) as site:
        everything = dict.fromkeys(
            ["the application", "by name", "in sys.modules", "pickled", "hinted", "rebuilt", "cached"], True
        )
        site.assert_everywhere(everything, "GET", "/inside")
        site.assert_everywhere(everything, "GET", "/inside/thread")
        site.assert_everywhere("overridden", "GET", "/books/title")
        site.assert_everywhere({"title": "Emma", "kind": "novel", "author": None}, "GET", "/books/one/Emma")
        site.assert_everywhere({"error": "Missing", "text": "Ulysses"}, "GET", "/books/one/Ulysses")
        site.assert_everywhere("Emma Walden", "GET", "/books/report", params={"words": 2})
        site.assert_everywhere({"error": "TooLong", "text": "11 words"}, "GET", "/books/report", params={"words": 11})
        site.assert_everywhere(81, "GET", "/books/square/9")
        site.assert_everywhere("overridden overridden overridden", "GET", "/books/mirrored")
        book = {"title": "Emma", "kind": "novel", "author": {"name": "A.", "books": [], "mentor": None}}
        site.assert_everywhere({"items": [book], "following": None}, "POST", "/authors/books", json=["Emma"])
        author = {"name": "J.", "books": [book], "mentor": {"name": "M.", "books": [], "mentor": None}}
        following: dict[str, Any] = {"items": [{"name": "next", "books": [], "mentor": None}], "following": None}
        site.assert_everywhere({"items": [author], "following": following}, "POST", "/authors/", json=author)
        refused = [client.post("/authors/", json={"name": "J.", "books": [{"title": " "}]}) for client in site.clients]
        assert {response.status_code for response in refused} == {422}
        for number, client in enumerate(site.clients):
            client.post(f"/books/written/line-{number}").raise_for_status()
            wait_until(lambda: f"line-{number}" in client.get("/books/written").json(), "the background task's end")  # noqa: B023
        lines = [line for client in site.clients for line in client.get("/books/written").json()]
        assert len(lines) == len(set(lines)) * 2, "each of a thread's two clients sees what both have written there"
        if find_spec("greenlet") is None:
            return

        def lend(number: int, client: httpx.Client) -> list[Any]:
            return [client.post(f"/loans/{number}-{n}", json=["Emma", "Walden"]).json() for n in range(ROUNDS)]

        assert at_once(site.clients, lend) == [
            [[f"{number}-{n}: Emma", f"{number}-{n}: Walden"] for n in range(ROUNDS)]
            for number in range(len(site.clients))
        ]


def test_quart_with_circular_imports(tmp_path: Path) -> None:
    need("quart")
    with serving("quart_circular", "app:app", tmp_path) as site:
        site.assert_everywhere({"application": True, "routes": True, "instance": True}, "GET", "/same")
        site.assert_everywhere("<p>you in app</p>", "GET", "/page/you")
        site.assert_everywhere({"different": 3}, "GET", "/counted")
        site.assert_everywhere("the admin alone", "GET", "/admin/")
        for number in range(1, ROUNDS + 1):
            assert at_once(site.clients, lambda _, client: client.post("/visit").json()) == [{"visits": number}] * len(
                site.clients
            )
        with connect(f"ws://{site.server.host}:{site.server.port}/ws", open_timeout=DEADLINE) as socket:
            socket.send("hello")
            instance, _, said = str(socket.recv(DEADLINE)).partition(" ")
            assert instance in site.instances
            assert said == "hello"


def test_starlettes_routes_in_modules(tmp_path: Path) -> None:
    need("starlette")
    with serving("starlette_routes", "main:app", tmp_path) as site:
        site.assert_everywhere("<p>you /page/x</p>", "GET", "/page/you")
        site.assert_everywhere([{"application": True, "instance": True, "context": True}] * 2, "GET", "/same")
        for number, client in enumerate(site.clients):
            assert client.post("/items/", json={"name": str(number)}).status_code == 201
        site.assert_everywhere(True, "GET", "/items/")


def test_litestars_controllers(tmp_path: Path) -> None:
    need("litestar")
    with serving("litestar_controllers", "app:app", tmp_path) as site:
        site.assert_everywhere({"title": "Emma"}, "POST", "/books", json={"title": "Emma"})
        site.assert_everywhere(True, "GET", "/books/same")
        site.assert_everywhere({"unknown": "nowhere"}, "GET", "/books/unknown")
        books = [{"title": title, "secret": "s"} for title in "abc"]
        site.assert_everywhere(
            {"name": "J.", "books": books[:2]}, "POST", "/authors", json={"name": "J.", "books": books}
        )


def test_blacksheeps_default_router(tmp_path: Path) -> None:
    """There is one for the whole process, and so of the application."""
    need("blacksheep")
    with serving("blacksheep_controllers", "main:app", tmp_path, copies=1) as site:
        site.server.wait_for_line(r"4 threads, 1 app instance \(shared: its code is registered in blacksheep\.")
        site.assert_everywhere("INSTANCE", "GET", "/books/same")
        site.assert_everywhere("hello you", "GET", "/hello/you")


def test_socketios_events_in_modules(tmp_path: Path) -> None:
    need("socketio")
    with serving("socketio_events", "main:app", tmp_path) as site:

        def talk(number: int, _: httpx.Client) -> list[str]:
            url = f"ws://{site.server.host}:{site.server.port}/socket.io/?EIO=4&transport=websocket"
            with connect(url, open_timeout=DEADLINE) as socket:
                heard = []
                for sent in ("40", f'42["say","{number}"]', "40/room,", f'42/room,["enter","{number}"]'):
                    socket.send(sent)
                    while (message := str(socket.recv(DEADLINE)))[:2] not in ("40", "42"):
                        pass
                    heard.append(message)
            return heard

        for number, heard in enumerate(at_once(site.clients, talk)):
            [instance] = {json.loads(message[message.index("[") :])[1].split()[0] for message in heard[1::2]}
            assert instance in site.instances
            assert heard[1] == f'42["heard","{instance} {number}"]'
            assert heard[3] == f'42/room,["entered","{instance} {number}"]'


def test_graphql_schemas_in_modules(tmp_path: Path) -> None:
    need("strawberry")
    need("ariadne")
    with serving("graphql_schemas", "main:app", tmp_path) as site:
        query = '{book(title: "Emma") {title instance author {books {title}}}}'
        book = {"title": "Emma", "instance": "INSTANCE", "author": {"books": [{"title": "by of Emma"}]}}
        site.assert_everywhere({"data": {"book": book}}, "POST", "/strawberry/", json={"query": query})
        query = '{book(title: "Emma") {title instance}}'
        answer = {"data": {"book": {"title": "Emma", "instance": "INSTANCE"}}}
        site.assert_everywhere(answer, "POST", "/ariadne/", json={"query": query})


def test_mcp_server_in_fastapi(tmp_path: Path) -> None:
    need("mcp")
    about = {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    fields = {"accept": "application/json, text/event-stream"}
    with serving("mcp_mounted", "main:app", tmp_path) as site:

        def call_tools(number: int, client: httpx.Client) -> tuple[bool, bool]:
            def ask(method: str, **parameters: Any) -> httpx.Response:
                message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
                return client.post("/mcp/", json=message, headers=session).raise_for_status()

            session = dict(fields)
            session["mcp-session-id"] = ask("initialize", **about).headers["mcp-session-id"]
            client.post("/mcp/", json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=session)
            added = ask("tools/call", name="add", arguments={"numbers": [number, 1]}).text
            whose = ask("tools/call", name="whose", arguments={}).text
            return f'"structuredContent":{{"total":{number + 1}}}' in added, site.instances[number] in whose

        assert at_once(site.clients, call_tools) == [(True, True)] * len(site.clients)


def test_django_set_up_by_fastapi(tmp_path: Path) -> None:
    need("django")
    with serving("fastapi_django", "main:app", tmp_path, copies=1) as site:
        site.server.wait_for_line(r"4 threads, 1 app instance \(shared: it has set up Django")

        def order(number: int, client: httpx.Client) -> tuple[Any, Any]:
            path = f"/orders/{number}"
            return client.post(path, json=["pen", "ink"]).json(), client.get(path).json()

        assert at_once(site.clients, order) == [(["pen", "ink"], 2)] * len(site.clients)


def test_flask_mounted_in_fastapi(tmp_path: Path) -> None:
    need("flask")
    need("a2wsgi")
    with serving("fastapi_flask", "main:app", tmp_path) as site:
        for middleware in ("a2wsgi", "asgiref", "ours"):
            expected = {"instance": "INSTANCE", "site": True, "view": True}
            site.assert_everywhere(expected, "GET", f"/{middleware}/same")


def test_celerys_tasks_and_logging(tmp_path: Path) -> None:
    """Celery has the tasks of all apps; each line is logged once, by what was configured in each copy."""
    need("celery")
    need("structlog")
    with serving("celery_tasks", "main:app", tmp_path, "--app-shared", "tasks") as site:
        site.assert_everywhere(3, "POST", "/sum", json=[1, 2])
        site.assert_everywhere({"detail": "nothing to add"}, "POST", "/sum", json=[])
        site.assert_everywhere([True, True, True], "GET", "/tasks")
    assert "DuplicateTaskNameWarning" not in site.server.stderr
    asked = ROUNDS * len(site.clients)
    assert site.server.stdout.count("project api asked for 2 numbers\n") == asked
    assert site.server.stdout.count("project tasks added\n") == asked
    assert site.server.stderr.count("extra api asked for 2 numbers\n") == asked


def test_sqlmodels_tables_and_prometheus_metrics(tmp_path: Path) -> None:
    """Following the lines leads to a server that works, wherever the modules are named."""
    need("sqlmodel")
    need("prometheus_client")
    app, options = "heroes.main:app", ["--app-dir", str(PROJECTS / "sqlmodel_metrics"), "--threads", "4"]
    named: list[str] = []
    for _ in range(2):
        variables = {"THREADSERVE_APP_SHARED": "\n".join(named), "SITE_DATABASE": str(tmp_path / "site.sqlite3")}
        failed = run_module(app, *options, "--port", "0", cwd=tmp_path, **variables)
        assert failed.returncode == 3
        assert "Traceback" not in failed.stderr
        *_, line = failed.stderr.splitlines()
        assert line.startswith(f"Error: {app} cannot be loaded once per thread: the module ")
        named = line.partition("Keep it in one copy with ")[2].partition(";")[0].split()[1::2]
    assert named == ["heroes.metrics", "heroes.tables"]
    (tmp_path / "site.toml").write_text(f"app_shared = {named}")
    with serving("sqlmodel_metrics", app, tmp_path, "--config", str(tmp_path / "site.toml")) as site:

        def add(number: int, client: httpx.Client) -> list[str]:
            return [client.post(f"/heroes/{number}/hero-{number}-{n}").json() for n in range(ROUNDS)]

        expected = [[f"hero-{number}-{n} of {number}" for n in range(ROUNDS)] for number in range(len(site.clients))]
        assert at_once(site.clients, add) == expected
        added = f"heroes_added_total {float(ROUNDS * len(site.clients))}\n"
        assert all(added in client.get("/metrics/").text for client in site.clients)
