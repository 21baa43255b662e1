"""What an application finds in its environ (PEP 3333, "environ Variables")."""

import json
import sys
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import httpx
import pytest
from support.embedded_server import Serve
from support.raw_client import Connect, post, post_chunked, request
from support.waiting import DEADLINE
from support.wsgi_apps import Environ, StartResponse, echo, hello, tell_environ

from threadserve.wsgi.environ import environ_values_of


def ask(serve: Serve, connect: Connect, data: bytes, **settings: Any) -> dict[str, Any]:
    """The environ of a request."""
    client = connect(serve(tell_environ, **settings))
    client.send(data)
    told: dict[str, Any] = json.loads(client.read_response().body)
    return {**told, "client": client.socket.getsockname(), "server": client.socket.getpeername()}


def test_plain_request(serve: Serve, connect: Connect) -> None:
    environ = ask(serve, connect, request("GET", "/a/b?x=1&y=%20", "X-One: two"))
    assert environ["REQUEST_METHOD"] == "GET"
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("", "/a/b", "x=1&y=%20")
    assert environ["RAW_URI"] == environ["REQUEST_URI"] == "/a/b?x=1&y=%20"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (environ["server"][0], str(environ["server"][1]))
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (environ["client"][0], str(environ["client"][1]))
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["HTTP_HOST"] == "example.org"
    assert environ["HTTP_X_ONE"] == "two"
    assert environ["wsgi.url_scheme"] == "http"
    assert (environ["wsgi.multithread"], environ["wsgi.multiprocess"], environ["wsgi.run_once"]) == (True, False, False)
    assert environ["wsgi.input_terminated"] is True
    assert not {"HTTPS", "CONTENT_TYPE", "CONTENT_LENGTH"} & set(environ)


@pytest.mark.parametrize(
    ("target", "root_path", "script_name", "path_info"),
    [
        ("/caf%C3%A9/%ff%2F", "", "", "/caf\xc3\xa9/\xff/"),
        ("/page", "/mount", "/mount", "/page"),
        ("/", "/mount", "/mount", "/"),
        ("/p%20q", "/m\xfcnt", "/m\xc3\xbcnt", "/p q"),
        ("/page", "/mount/", "/mount", "/page"),
        ("*", "", "", "*"),
    ],
)
def test_paths_are_bytes_as_latin1_text(
    serve: Serve, connect: Connect, target: str, root_path: str, script_name: str, path_info: str
) -> None:
    environ = ask(serve, connect, request("OPTIONS", target), root_path=root_path)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script_name, path_info)


@pytest.mark.parametrize("way", ["short"])
@pytest.mark.parametrize(
    ("target", "path_info", "uri"),
    [
        ("/page?q=1", "/page", "/pfx/page?q=1"),
        ("/pfx/page?q=1", "/page", "/pfx/page?q=1"),
        ("/", "/", "/pfx/"),
        ("/pfx/", "/", "/pfx/"),
        ("/pfx", "", "/pfx"),
        ("/pfxx", "/pfxx", "/pfx/pfxx"),
        ("/p%66x/a%20b", "/a b", "/p%66x/a%20b"),
        ("/other/pfx/page", "/other/pfx/page", "/pfx/other/pfx/page"),
    ],
)
def test_root_path_is_understood_with_the_prefix_and_without(
    serve: Serve, connect: Connect, target: str, path_info: str, uri: str
) -> None:
    environ = ask(serve, connect, request("GET", target), root_path="/pfx")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/pfx", path_info)
    assert environ["REQUEST_URI"] == environ["RAW_URI"] == uri


@pytest.mark.parametrize("way", ["short"])
@pytest.mark.parametrize("target", ["/page", "/pfx/page"])
def test_script_name_of_the_environment_is_understood_with_the_prefix_and_without(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setenv("SCRIPT_NAME", "/pfx")
    environ = ask(serve, connect, request("GET", target))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/pfx", "/page")
    assert environ["REQUEST_URI"] == target


def test_repeated_headers_are_joined(serve: Serve, connect: Connect) -> None:
    fields = ["X-Tag: a", "X-Tag: b", "Cookie: a=1", "Cookie: b=2"]
    environ = ask(serve, connect, request("GET", "/", *fields))
    assert environ["HTTP_X_TAG"] == "a,b"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"


@pytest.mark.parametrize("way", ["short"])
def test_upgrade_to_a_websocket_is_let_be(serve: Serve, connect: Connect) -> None:
    """A server may answer such a request as any other (RFC 9110 section 7.8), and WSGI has no WebSockets."""
    fields = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: " + 22 * "A",
    ]
    environ = ask(serve, connect, request("GET", "/", *fields))
    assert environ["HTTP_UPGRADE"] == "websocket"


def test_header_with_an_underscore_forges_nothing(serve: Serve, connect: Connect) -> None:
    environ = ask(serve, connect, request("GET", "/", "X-User: bob", "X_User: admin", "Content_Length: 7"))
    assert environ["HTTP_X_USER"] == "bob"
    assert "CONTENT_LENGTH" not in environ


@pytest.mark.skipif(sys.version_info < (3, 13), reason="before Python 3.13 it cannot be seen")
def test_what_clients_call_their_fields_is_not_kept_for_ever(serve: Serve, connect: Connect) -> None:
    """An interned text is never freed on free-threaded Python."""
    names: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        names.extend(name for name in environ if name.startswith("HTTP_X_NAME"))
        return hello(environ, start_response)

    client = connect(serve(app))
    client.get("/", "X-Name-1: x", f"X-Name-{'9' * 100}: y")
    assert len(names) == 2
    is_interned: Any = vars(sys)["_is_interned"]
    assert [name for name in names if is_interned(name)] == []


def test_body_headers_have_names_of_their_own(serve: Serve, connect: Connect) -> None:
    environ = ask(serve, connect, post("/", b"{}", "Content-Type: application/json"))
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("application/json", "2")
    assert not {"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"} & set(environ)


def test_chunked_body_that_is_there_has_a_length(serve: Serve, connect: Connect) -> None:
    environ = ask(serve, connect, post_chunked("/", b"abc", b"de"))
    assert environ["CONTENT_LENGTH"] == "5"
    assert "HTTP_TRANSFER_ENCODING" not in environ


def test_https_behind_a_trusted_proxy(serve: Serve, connect: Connect) -> None:
    data = request("GET", "/", "X-Forwarded-Proto: https", "X-Forwarded-For: 203.0.113.9")
    environ = ask(serve, connect, data, proxy_headers=True, forwarded_allow_ips="127.0.0.1")
    assert (environ["wsgi.url_scheme"], environ["HTTPS"], environ["REMOTE_ADDR"]) == ("https", "on", "203.0.113.9")


def test_unix_socket_has_names_too(serve: Serve, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    serve(tell_environ, uds=path)
    with httpx.Client(transport=httpx.HTTPTransport(uds=path), timeout=DEADLINE) as client:
        environ = client.get("http://localhost/").json()
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"], environ["REMOTE_ADDR"]) == ("localhost", "80", "")


@pytest.mark.parametrize("data", [request(), post("/", b"body"), post_chunked("/x", b"ab", b"cd"), request("HEAD")])
def test_the_validator_finds_nothing(serve: Serve, connect: Connect, data: bytes) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        body = environ["wsgi.input"].read(100)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body or b"-"]

    client = connect(serve(validator(app)))
    client.send(data)
    assert client.read_response("HEAD" if data.startswith(b"HEAD") else "GET").status == 200


@pytest.mark.parametrize("app", [hello, echo])
def test_http10(serve: Serve, connect: Connect, app: Any) -> None:
    client = connect(serve(app))
    client.send(request("GET", "/old", version="1.0"))
    response = client.read_response()
    assert response.status == 200
    assert response.body == (b"/old" if app is hello else b"")
    assert client.is_closed()


def test_a_value_without_a_text_is_none_for_the_log() -> None:
    class Proxy:
        def __str__(self) -> str:
            raise RuntimeError("outside of its request")

    assert environ_values_of(["PROXY", "number", "nothing"], {"PROXY": Proxy(), "NUMBER": 7}) == (None, b"7", None)
