"""HTTP/1.1 over TLS: what rests on the transport is the same as without, but for half-closing, which TLS has not."""

import shutil
import ssl
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from support.apps import Gate, Outcome, body, echo_body, hello, read_body, respond, start
from support.bounds import give_bounds
from support.certificates import Authority
from support.embedded_server import Serve
from support.raw_client import post, request
from support.tls_client import ConnectTls, tls_socket
from support.waiting import DEADLINE

from threadserve.threads import opening
from threadserve.types import Receive, Scope, Send

BIG = 8_000_000


async def big(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with a lot of bytes at once."""
    await respond(send, b"x" * BIG)


async def until_closed(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with a body that ends with the connection, for a client of HTTP/1.0."""
    await start(send)
    for _ in range(20):
        await body(send, b"x" * 50_000, more=True)
    await body(send)


def test_httpx_on_two_versions(serve: Serve, authority: Authority) -> None:
    server = serve(echo_body)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = authority.client_context()
        context.minimum_version = context.maximum_version = version
        with httpx.Client(verify=context, base_url=f"https://localhost:{server.port}", timeout=DEADLINE) as client:
            for size in (0, 10, 1_000_000):
                response = client.post("/", content=b"a" * size)
                assert (response.status_code, len(response.content)) == (200, size)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl command")
def test_curl(serve: Serve, authority: Authority) -> None:
    server = serve(hello)
    url = f"https://localhost:{server.port}/[1-3]"
    command = ["curl", "--silent", "--show-error", "--ipv4", "--cacert", str(authority.certificate), url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3 * DEADLINE, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("/1/2/3", "", 0)


def test_requests_one_after_the_other_on_a_connection(serve: Serve, connect_tls: ConnectTls) -> None:
    client = connect_tls(serve(hello))
    assert [client.get(f"/{number}").body for number in range(50)] == [b"/%d" % number for number in range(50)]


def test_a_pipeline(serve: Serve, connect_tls: ConnectTls) -> None:
    client = connect_tls(serve(echo_body))
    client.send(b"".join(post("/", b"%d" % number * 500) for number in range(100)))
    assert [client.read_response().body for _ in range(100)] == [b"%d" % number * 500 for number in range(100)]


def test_a_file(serve: Serve, connect_tls: ConnectTls, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 8000)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await send({"type": "http.response.pathsend", "path": str(path)})

    client = connect_tls(serve(app, pathsend=True))
    assert client.get().body == path.read_bytes()
    assert client.get().body == path.read_bytes()


def test_a_slow_client_holds_the_application_up(serve: Serve, connect_tls: ConnectTls) -> None:
    sent: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        for number in range(1000):
            await body(send, b"x" * 65536, more=True)
            sent.append(number)
        await body(send)

    client = connect_tls(serve(app), receive_buffer=65536)
    client.send(request())
    assert client.reader.head().status == 200
    before = -1
    while before != len(sent):
        before = len(sent)
        time.sleep(0.2)
    assert before < 500
    assert len(client.reader.chunks()) == 1000 * 65536


@pytest.mark.parametrize("app", [big, until_closed])
def test_a_response_that_ends_the_connection_is_complete(
    serve: Serve, connect_tls: ConnectTls, app: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "TLS_SHUTDOWN_SECONDS", 2.0)
    client = connect_tls(serve(app), receive_buffer=65536)
    client.send(request("GET", "/", "Connection: close", version="1.0"))
    # More is queued than the system takes, and the client begins later than TLS may take to end.
    time.sleep(2.5)
    response = client.read_response()
    assert len(response.body) == (BIG if app is big else 1_000_000)
    assert client.is_closed()


def test_an_idle_connection_is_closed(serve: Serve, connect_tls: ConnectTls) -> None:
    client = connect_tls(serve(hello, timeout_keep_alive=0.2))
    client.get()
    assert client.is_closed()


def test_a_refused_request_is_answered(serve: Serve, connect_tls: ConnectTls) -> None:
    client = connect_tls(serve(hello))
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    assert client.read_response().status == 400
    assert client.is_closed()


def test_a_refusal_reaches_a_client_that_still_sends(
    serve: Serve, connect_tls: ConnectTls, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_bounds(monkeypatch, linger_seconds=DEADLINE)
    client = connect_tls(serve(hello))
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 4000000\r\n\r\n")
    for _ in range(40):
        client.send(b"x" * 100_000)
    assert client.read_response().status == 400


def test_a_client_that_vanishes_is_noticed(serve: Serve, connect_tls: ConnectTls) -> None:
    gate, left = Gate(), Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await gate.wait()
        left.set((await receive())["type"])

    client = connect_tls(serve(app))
    client.send(request())
    gate.wait_for_arrivals()
    client.reset()
    gate.open()
    assert left.get() == "http.disconnect"


def test_a_client_that_ends_tls_gets_no_more(
    serve: Serve, connect_tls: ConnectTls, caplog: pytest.LogCaptureFixture
) -> None:
    gate, left = Gate(), Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await gate.wait()
        messages = [(await receive())["type"]]
        for _ in range(10):
            await body_or_start(send, messages)
        left.set(messages)

    async def body_or_start(send: Send, messages: list[str]) -> None:
        await (start(send) if len(messages) == 1 else body(send, b"x" * 70_000, more=True))
        messages.append("sent")

    client = connect_tls(serve(app))
    client.send(post("/", b"abc"))
    gate.wait_for_arrivals()
    with suppress(OSError):
        tls_socket(client).unwrap()
    gate.open()
    assert left.get() == ["http.disconnect", *["sent"] * 10]
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
