"""The limits on a request's body, for WSGI applications."""

from support.embedded_server import Serve
from support.raw_client import Connect, chunked, post, request
from support.wsgi_apps import Environ, StartResponse, echo

LIMIT = 1000


def test_body_is_refused_by_its_length(serve: Serve, connect: Connect) -> None:
    server = serve(echo, limit_request_body=LIMIT)
    client = connect(server)
    client.send(post("/", b"x" * LIMIT) + post("/", b"x" * (LIMIT + 1)))
    assert client.read_response().body == b"x" * LIMIT
    assert client.read_response().status == 413
    assert client.is_closed()


def test_chunked_body_is_refused_while_it_is_collected(serve: Serve, connect: Connect) -> None:
    calls = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        calls.append(environ["PATH_INFO"])
        return echo(environ, start_response)

    server = serve(app, limit_request_body=LIMIT)
    client = connect(server)
    client.send(request("POST", "/", "Transfer-Encoding: chunked", "Expect: 100-continue"))
    assert client.reader.head().status == 100
    client.send(chunked(b"x" * LIMIT)[:-5])
    client.send(chunked(b"x"))
    assert client.read_response().status == 413
    assert client.is_closed()
    client = connect(server)
    client.send(post("/fine", b"fine"))
    assert client.read_response().body == b"fine"
    assert calls == ["/fine"]
