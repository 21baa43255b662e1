"""The limits on a request's body, for WSGI applications."""

from support.apps import Outcome
from support.embedded_server import Serve
from support.raw_client import Connect, chunked, post, request
from support.wsgi_apps import Environ, StartResponse, echo

from threadserve.errors import ClientDisconnected

LIMIT = 1000


class Noted:
    """Answers with the body, and notes the paths that it is called for."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        self.calls.append(environ["PATH_INFO"])
        return echo(environ, start_response)


def test_body_is_refused_by_its_length(serve: Serve, connect: Connect) -> None:
    server = serve(echo, limit_request_body=LIMIT)
    client = connect(server)
    client.send(post("/", b"x" * LIMIT) + post("/", b"x" * (LIMIT + 1)))
    assert client.read_response().body == b"x" * LIMIT
    assert client.read_response().status == 413
    assert client.is_closed()


def test_chunked_body_is_refused_while_it_is_collected(serve: Serve, connect: Connect) -> None:
    app = Noted()
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
    assert app.calls == ["/fine"]


def test_body_that_stops_is_answered_408(serve: Serve, connect: Connect) -> None:
    app = Noted()
    server = serve(app, timeout_request_body=0.2)
    client = connect(server)
    client.send(request("POST", "/", "Content-Length: 10", body=b"abc"))
    assert client.read_response().status == 408
    assert client.is_closed()
    client = connect(server)
    client.send(post("/fine", b"fine"))
    assert client.read_response().body == b"fine"
    assert app.calls == ["/fine"]


def test_call_that_reads_a_body_that_stops_is_told(serve: Serve, connect: Connect) -> None:
    """Of one that waits for 100, nothing is there when it is called."""
    raised = Outcome()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        try:
            return [environ["wsgi.input"].read()]
        except BaseException as error:
            raised.set(error)
            raise

    client = connect(serve(app, timeout_request_body=0.2))
    client.send(request("POST", "/", "Content-Length: 10", "Expect: 100-continue"))
    assert client.reader.head().status == 100
    client.send(b"abc")
    assert client.read_response().status == 408
    assert isinstance(raised.get(), ClientDisconnected)
