"""A Django site, in a server process of its own because Django's settings are the process's."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from support.raw_client import Connect
from support.server_process import ServerProcess
from support.sites import at_once, new_client
from support.waiting import DEADLINE
from support.wsgi_apps import upload

from threadserve.wsgi.body import CALL_AFTER_BYTES

pytest.importorskip("django")
pytest.importorskip("whitenoise")

APPS = Path(__file__).with_name("apps")
SITE = APPS / "django_site_of_the_tests.py"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The server, with a database in which there is one user."""
    folder = tmp_path_factory.mktemp("django")
    env = {**os.environ, "SITE_FOLDER": str(folder)}
    subprocess.run([sys.executable, str(SITE), "prepare"], env=env, check=True, timeout=4 * DEADLINE)
    options = ("--app-dir", str(APPS), "--threads", "2", "--wsgi-threads", "4")
    with ServerProcess(f"{SITE.stem}:application", *options, env=env, cwd=folder) as server:
        yield server
        assert server.stop(deadline=3 * DEADLINE) == 0, server.stderr
        assert "ERROR" not in server.stderr


@pytest.fixture
def client(site: ServerProcess) -> Iterator[httpx.Client]:
    """A client of the site."""
    with httpx.Client(base_url=site.url, timeout=3 * DEADLINE) as client:
        yield client


def test_orm_on_all_threads_at_once(site: ServerProcess) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(new_client(site.url)) for _ in range(8)]
        answers = at_once(clients, lambda _, client: [client.get("/users").json() for _ in range(5)])
    assert answers == [[{"users": ["ada"]}] * 5] * 8


def test_admin_login(client: httpx.Client) -> None:
    page = client.get("/admin/login/")
    assert page.status_code == 200
    form = {"username": "ada", "password": "lovelace", "csrfmiddlewaretoken": client.cookies["csrftoken"]}
    answer = client.post("/admin/login/?next=/admin/", data=form)
    assert (answer.status_code, answer.headers["location"]) == (302, "/admin/")
    assert "Site administration" in client.get("/admin/").text


def test_upload(client: httpx.Client) -> None:
    answer = client.post("/upload", files={"file": ("large", b"x" * 3_000_000)}, data={"note": "caf\xe9"})
    assert answer.json() == {"size": 3_000_000, "note": "caf\xe9"}


def test_chunked_body(client: httpx.Client) -> None:
    assert client.post("/body", content=iter([b"a" * 1000, b"b" * 500])).json() == {"size": 1500}


@pytest.mark.parametrize("expects", [False, True], ids=["sent at once", "asked for"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_bodies_of_any_size(site: ServerProcess, connect_process: Connect, is_chunked: bool, expects: bool) -> None:
    raw = connect_process(site)
    for size in (1000, 100_000, CALL_AFTER_BYTES + 1, 20_000_000):
        response = upload(raw, "/body", size, is_chunked=is_chunked, expects=expects)
        assert json.loads(response.body) == {"size": size}


def test_stream_and_file(client: httpx.Client) -> None:
    assert client.get("/stream").text == "".join(f"{number}\n" for number in range(1000))
    for _ in range(3):
        assert client.get("/file").content == SITE.read_bytes()


def test_static_files(client: httpx.Client) -> None:
    answer = client.get("/static/admin/css/base.css")
    assert answer.headers["content-type"].startswith("text/css")
    assert int(answer.headers["content-length"]) == len(answer.content) or answer.headers.get("content-encoding")
    fresh = {"if-modified-since": answer.headers["last-modified"]}
    assert client.get("/static/admin/css/base.css", headers=fresh).status_code == 304
    assert client.get("/static/nothing.css").status_code == 404
