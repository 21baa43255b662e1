"""Requests and responses over HTTP/2, as an application and its client see them."""

from support.apps import Recorder, echo_body, hello
from support.embedded_server import Serve
from support.http2_client import ConnectH2


def test_get(serve: Serve, connect_h2: ConnectH2) -> None:
    recorder = Recorder(hello)
    client = connect_h2(serve(recorder))
    response = client.get("/some%20where?a=b", [("x-one", "1")])
    assert response.status == 200
    assert response.body == b"/some where"
    assert response.header("content-length") == b"11"
    (scope,) = recorder.scopes
    assert scope["http_version"] == "2"
    assert scope["raw_path"] == b"/some%20where"
    assert scope["query_string"] == b"a=b"
    assert scope["headers"] == [(b"host", b"example.org"), (b"x-one", b"1")]


def test_post(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(echo_body))
    body = bytes(range(256)) * 800
    assert client.post("/", body).body == body


def test_many_at_once(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(hello))
    streams = [client.open(f"/{number}") for number in range(300)]
    assert [client.read(stream).body for stream in streams] == [f"/{number}".encode() for number in range(300)]
