"""Real sites: Flask, Bottle, Pyramid, SQLAlchemy's scoped sessions, each with what people use of it."""

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.embedded_server import Serve, servers
from support.error_log import ErrorLog
from support.waiting import DEADLINE


@pytest.fixture
def serve(error_log: ErrorLog) -> Iterator[Serve]:
    """`serve(app, **settings)` starts a server on two loops and four pool threads."""
    with servers(threads=2, wsgi_threads=4) as start:
        yield start


def flask_site() -> Any:
    """A Flask site with sessions, uploads, streams, files and errors."""
    flask: Any = pytest.importorskip("flask")
    app: Any = flask.Flask("flask_site_of_the_tests")
    app.secret_key = "secret"

    def count() -> Any:
        flask.session["count"] = flask.session.get("count", 0) + 1
        return flask.jsonify(count=flask.session["count"], thread=threading.current_thread().name)

    def upload() -> Any:
        file = flask.request.files["file"]
        return flask.jsonify(name=file.filename, size=len(file.read()), note=flask.request.form["note"])

    def json() -> Any:
        return flask.jsonify(flask.request.get_json())

    def stream() -> Any:
        return flask.stream_with_context(f"{number} of {flask.request.args['n']}\n" for number in range(3))

    def file() -> Any:
        return flask.send_file(__file__, conditional=True)

    def memory() -> Any:
        return flask.send_file(io.BytesIO(b"m" * 300_000), "text/plain")

    def broken() -> Any:
        raise ZeroDivisionError

    app.add_url_rule("/count", view_func=count, methods=["GET"])
    app.add_url_rule("/upload", view_func=upload, methods=["POST"])
    app.add_url_rule("/json", view_func=json, methods=["POST"])
    app.add_url_rule("/stream", view_func=stream, methods=["GET"])
    app.add_url_rule("/file", view_func=file, methods=["GET"])
    app.add_url_rule("/memory", view_func=memory, methods=["GET"])
    app.add_url_rule("/broken", view_func=broken, methods=["GET"])
    return app


def test_flask(serve: Serve) -> None:
    server = serve(flask_site())
    with httpx.Client(base_url=server.url, timeout=DEADLINE) as client:
        assert [client.get("/count").json()["count"] for _ in range(3)] == [1, 2, 3]
        upload = client.post("/upload", files={"file": ("name.bin", b"x" * 2_000_000)}, data={"note": "caf\xe9"})
        assert upload.json() == {"name": "name.bin", "size": 2_000_000, "note": "caf\xe9"}
        chunks = iter([b'{"a":', b" 1}"])
        assert client.post("/json", content=chunks, headers={"content-type": "application/json"}).json() == {"a": 1}
        assert client.get("/stream?n=3").text == "0 of 3\n1 of 3\n2 of 3\n"
        content = Path(__file__).read_bytes()
        assert client.get("/file").content == content
        assert client.get("/file", headers={"range": "bytes=10-19"}).content == content[10:20]
        assert client.head("/file").headers["content-length"] == str(len(content))
        assert client.get("/memory").content == b"m" * 300_000
        assert client.get("/missing").status_code == 404
        assert "<h1>Not Found</h1>" in client.get("/missing").text
        assert client.get("/static/../x").status_code == 404


def test_flask_error_page(serve: Serve, error_log: ErrorLog) -> None:
    response = httpx.get(f"{serve(flask_site()).url}/broken", timeout=DEADLINE)
    assert (response.status_code, "Internal Server Error" in response.text) == (500, True)
    error_log.expect(ZeroDivisionError)


def test_bottle(serve: Serve) -> None:
    bottle = pytest.importorskip("bottle")
    app = bottle.Bottle()
    app.get("/hello/<name>", callback=lambda name: f"Hello {name}")
    app.post("/form", callback=lambda: bottle.request.forms.name)
    server = serve(app)
    assert httpx.get(f"{server.url}/hello/b%C3%A4r", timeout=DEADLINE).text == "Hello b\xe4r"
    assert httpx.post(f"{server.url}/form", data={"name": "x"}, timeout=DEADLINE).text == "x"


@pytest.mark.filterwarnings("ignore:pkg_resources")
def test_pyramid(serve: Serve) -> None:
    config = pytest.importorskip("pyramid.config")
    response = pytest.importorskip("pyramid.response")
    with config.Configurator() as configurator:
        configurator.add_route("hello", "/hello/{name}")
        view = lambda request: response.Response(f"Hello {request.matchdict['name']}")  # noqa: E731
        configurator.add_view(view, route_name="hello")
        app = configurator.make_wsgi_app()
    server = serve(app)
    assert httpx.get(f"{server.url}/hello/b%C3%A4r", timeout=DEADLINE).text == "Hello b\xe4r"
    assert httpx.get(f"{server.url}/nothing", timeout=DEADLINE).status_code == 404


def test_scoped_sessions_are_per_thread(serve: Serve) -> None:
    pytest.importorskip("sqlalchemy")
    from sqlalchemy import create_engine, text
    from sqlalchemy.orm import scoped_session, sessionmaker
    from sqlalchemy.pool import NullPool

    engine = create_engine("sqlite://", poolclass=NullPool)
    session = scoped_session(sessionmaker(engine))
    seen: dict[str, set[int]] = {}
    together = threading.Barrier(4)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        together.wait(DEADLINE)
        seen.setdefault(threading.current_thread().name, set()).add(id(session()))
        value = session.execute(text("select 41 + 1")).scalar()
        together.wait(DEADLINE)
        session.remove()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(value).encode()]

    server = serve(app)
    answers: list[str] = []
    askers = [
        threading.Thread(target=lambda: answers.append(httpx.get(server.url, timeout=DEADLINE).text)) for _ in range(4)
    ]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(3 * DEADLINE)
    assert answers == ["42"] * 4
    assert len(seen) == 4
    assert len(set.union(*seen.values())) == 4
    engine.dispose()
