"""How HTTP/2 connections begin and end: nothing is lost that a client was promised, and nobody waits for the silent."""

import select
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import Frame, GoAwayFrame, PingFrame
from support.apps import Gate, Outcome, Recorder, echo_body, hello, respond, start
from support.apps import body as send_body
from support.bounds import give_bounds
from support.certificates import Authority, Identity, has_openssl
from support.embedded_server import EmbeddedServer, Serve
from support.http2_client import (
    INITIAL_WINDOW_SIZE,
    PREFACE,
    ConnectH2,
    H2Client,
    encrypted,
)
from support.raw_client import Connect, request
from support.waiting import DEADLINE, wait_until

from threadserve.types import Receive, Scope, Send

LAST = 2**31 - 1
LONG = 20 * DEADLINE


class Held:
    """Answers `/held` when the gate is open, and anything else at once; notes what it has been asked for."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.paths: list[str] = []
        self.disconnected = Outcome()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        if scope["path"] == "/held":
            await self.gate.wait()
        elif scope["path"] == "/listening":
            while (await receive())["type"] != "http.disconnect":
                pass
            self.disconnected.set(True)
            return
        elif scope["path"] == "/upload":
            await echo_body(scope, receive, send)
            return
        await respond(send, scope["path"].encode())


def pings(client: H2Client) -> list[PingFrame]:
    """What the server has asked for an answer to."""
    return [frame for frame in client.frames if isinstance(frame, PingFrame) and "ACK" not in frame.flags]


def answer_ping(client: H2Client) -> None:
    """Answers the last ping."""
    client.send_frame(PingFrame(0, opaque_data=pings(client)[-1].opaque_data, flags=["ACK"]))


def goodbyes(client: H2Client) -> list[tuple[int, ErrorCodes]]:
    """What the GOAWAY frames said."""
    return [(frame.last_stream_id, ErrorCodes(frame.error_code)) for frame in client.goaways]


def begin_to_stop(server: EmbeddedServer) -> None:
    """Returns when the loop has begun to stop."""
    server.server.should_exit = True
    assert server.server._server_run is not None
    loops = list(server.server._server_run._group._slots)
    wait_until(
        lambda: all(slot.server._context is not None and slot.server._context.registry.is_draining for slot in loops),
        "the stop",
    )


def wait_for_end(server: EmbeddedServer) -> None:
    """The server ends by itself."""
    server.thread.join(DEADLINE)
    assert not server.thread.is_alive()


def patient(serve: Serve, app: Any) -> EmbeddedServer:
    """A server that waits longer for everything than a test may take."""
    timeouts = ("timeout_graceful_shutdown", "timeout_request_header", "timeout_keep_alive")
    return serve(app, **dict.fromkeys(timeouts, LONG))


# Idle connections.


def test_idle_connection_ends_in_two_steps(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(hello, timeout_keep_alive=0.3))
    client.answers = False
    began = time.monotonic()
    assert client.get().status == 200
    client.read_until(lambda: client.goaways and pings(client))
    assert time.monotonic() - began > 0.25
    assert goodbyes(client) == [(LAST, ErrorCodes.NO_ERROR)]
    answer_ping(client)
    client.read_to_end()
    assert goodbyes(client) == [(LAST, ErrorCodes.NO_ERROR), (1, ErrorCodes.NO_ERROR)]


def test_request_between_the_two_goodbyes_is_answered(serve: Serve, connect_h2: ConnectH2) -> None:
    app = Held()
    client = connect_h2(serve(app, timeout_keep_alive=0.3))
    client.answers = False
    assert client.get().status == 200
    client.read_until(lambda: client.goaways and pings(client))
    streams = [client.open("/between"), client.open("/held")]
    assert client.read(streams[0]).body == b"/between"
    answer_ping(client)
    client.read_until(lambda: len(client.goaways) == 2)
    late = client.open("/late")
    assert client.read(late).reset == ErrorCodes.REFUSED_STREAM
    app.gate.open()
    assert client.read(streams[1]).body == b"/held"
    client.read_to_end()
    assert goodbyes(client)[1] == (streams[1], ErrorCodes.NO_ERROR)
    assert app.paths == ["/", "/between", "/held"]


@pytest.mark.parametrize("order", ["before", "behind"])
def test_request_in_the_packet_of_the_answer(serve: Serve, connect_h2: ConnectH2, order: str) -> None:
    """The answer to the ping that comes between the two goodbyes; no request is lost that the second promises."""
    client = connect_h2(serve(hello, timeout_keep_alive=0.3))
    client.answers = False
    assert client.get().status == 200
    client.read_until(lambda: client.goaways and pings(client))
    pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", "example.org"), (":path", "/here")]
    answer = PingFrame(0, opaque_data=pings(client)[-1].opaque_data, flags=["ACK"])
    block = client.block_frames(3, pseudo)
    client.send_frame(*(block if order == "before" else []), answer, *(block if order == "behind" else []))
    client.read_to_end()
    last = client.goaways[-1].last_stream_id
    assert last == 3 or order == "behind"
    assert client.response(3).body == (b"/here" if last == 3 else b"")


def test_ping_that_nobody_answers_does_not_keep_an_idle_connection(
    serve: Serve, connect_h2: ConnectH2, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_bounds(monkeypatch, linger_seconds=0.1)
    client = connect_h2(serve(hello, timeout_keep_alive=0.3))
    client.answers = False
    assert client.get().status == 200
    client.read_to_end()
    assert goodbyes(client) == [(LAST, ErrorCodes.NO_ERROR), (1, ErrorCodes.NO_ERROR)]


def test_unused_connection_ends(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(hello, timeout_request_header=0.3))
    client.read_to_end()
    assert goodbyes(client) == [(LAST, ErrorCodes.NO_ERROR), (0, ErrorCodes.NO_ERROR)]


def test_each_response_begins_the_keep_alive_time_anew(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(hello, timeout_keep_alive=2))
    for number in range(9):
        assert client.get(f"/{number}").body == f"/{number}".encode()
        time.sleep(0.4)
    assert not client.goaways


def test_pings_alone_do_not_keep_a_connection(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(hello, timeout_keep_alive=0.5))
    assert client.get().status == 200
    for _ in range(100):
        client.send_frame(PingFrame(0, opaque_data=b"8 bytes."))
        if select.select([client.socket], [], [], 0.05)[0] and not client.read_some():
            break
        if client.goaways:
            break
        time.sleep(0.05)
    client.read_to_end()
    assert goodbyes(client)[0] == (LAST, ErrorCodes.NO_ERROR)


def test_stream_that_is_served_keeps_its_connection(serve: Serve, connect_h2: ConnectH2) -> None:
    app = Held()
    client = connect_h2(serve(app, timeout_keep_alive=0.1, timeout_request_header=0.1))
    stream = client.open("/held")
    app.gate.wait_for_arrivals()
    time.sleep(1.2)
    app.gate.open()
    assert client.read(stream).body == b"/held"


# The server stops.


def test_stop_answers_what_is_under_way(serve: Serve, connect_h2: ConnectH2) -> None:
    app = Held()
    server = patient(serve, app)
    client = connect_h2(server)
    client.answers = False
    held = [client.open("/held") for _ in range(20)]
    upload = client.open("/upload", method="POST", ends=False)
    app.gate.wait_for_arrivals(20)
    client.synchronize()
    begin_to_stop(server)
    client.read_until(lambda: client.goaways and pings(client))
    between = client.open("/between")
    client.send_data(upload, b"body")
    answer_ping(client)
    client.read_until(lambda: len(client.goaways) == 2)
    assert goodbyes(client) == [(LAST, ErrorCodes.NO_ERROR), (between, ErrorCodes.NO_ERROR)]
    assert client.read(client.open("/late")).reset == ErrorCodes.REFUSED_STREAM
    client.send_data(upload, b" and more", ends=True)
    app.gate.open()
    assert client.read(between).body == b"/between"
    assert client.read(upload).body == b"body and more"
    assert [client.read(stream).body for stream in held] == [b"/held"] * 20
    client.read_to_end()
    wait_for_end(server)
    assert "/late" not in app.paths


@pytest.mark.parametrize("answers", [True, False], ids=["answered", "unanswered"])
def test_stop_ends_idle_connections(serve: Serve, connect_h2: ConnectH2, answers: bool) -> None:
    server = patient(serve, hello)
    used, new = connect_h2(server), connect_h2(server)
    assert used.get().status == 200
    new.synchronize()
    used.answers = new.answers = answers
    begin_to_stop(server)
    used.read_to_end()
    new.read_to_end()
    assert goodbyes(used) == [(LAST, ErrorCodes.NO_ERROR), (1, ErrorCodes.NO_ERROR)]
    assert goodbyes(new) == [(LAST, ErrorCodes.NO_ERROR), (0, ErrorCodes.NO_ERROR)]
    wait_for_end(server)


@pytest.mark.parametrize("sent", [b"", PREFACE[:1], PREFACE[:20], PREFACE, PREFACE + b"\0\0\0\x04"])
def test_part_of_a_preface_does_not_hold_up_the_stop(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    give_bounds(monkeypatch, partial_grace_seconds=0.3, linger_seconds=0.1)
    server = patient(serve, hello)
    client = connect(server)
    client.send(sent)
    begin_to_stop(server)
    client.read_all()
    wait_for_end(server)


def test_connection_that_begins_while_the_server_stops(serve: Serve, connect: Connect) -> None:
    """Its first request is answered where it comes at once, as that of HTTP/1.1 is."""
    server = patient(serve, hello)
    used, new = connect(server), connect(server)
    # The second has been accepted too.
    assert used.get().status == 200
    begin_to_stop(server)
    client = H2Client(new.socket)
    assert client.get("/new").body == b"/new"
    client.read_to_end()
    wait_for_end(server)


def test_stop_cuts_off_what_takes_too_long(serve: Serve, connect_h2: ConnectH2, error_log: Any) -> None:
    app = Held()
    server = serve(app, timeout_graceful_shutdown=1)
    client = connect_h2(server)
    client.open("/held")
    app.gate.wait_for_arrivals()
    begin_to_stop(server)
    client.read_to_end()
    error_log.expect(text="Cut off 1 request")
    wait_for_end(server)
    error_log.claim_all()


def test_many_connections_lose_nothing_in_a_stop(serve: Serve, connect_h2: ConnectH2) -> None:
    """What was sent before the second goodbye is answered; what was sent behind it is refused."""
    server = patient(serve, hello)
    clients = [connect_h2(server) for _ in range(20)]
    streams: dict[H2Client, list[int]] = {client: [] for client in clients}
    server.server.should_exit = True
    while open_clients := [client for client in clients if len(client.goaways) < 2 and not client.is_closed]:
        for client in open_clients:
            streams[client].append(client.open("/here"))
            while select.select([client.socket], [], [], 0)[0] and client.read_some():
                pass
    for client in clients:
        client.read_to_end()
        last = client.goaways[-1].last_stream_id
        for stream in streams[client]:
            response = client.response(stream)
            if stream <= last:
                assert response.body == b"/here"
            else:
                assert not response.status
    wait_for_end(server)


# The client ends.


def test_goodbye_of_the_client_lets_its_streams_be_answered(serve: Serve, connect_h2: ConnectH2) -> None:
    app = Held()
    client = connect_h2(serve(app))
    held = [client.open("/held") for _ in range(3)]
    upload = client.open("/upload", method="POST", ends=False)
    client.send_frame(GoAwayFrame(0, last_stream_id=0))
    client.synchronize()
    client.send_data(upload, b"body", ends=True)
    assert client.read(upload).body == b"body"
    app.gate.open()
    assert [client.read(stream).body for stream in held] == [b"/held"] * 3
    client.read_to_end()
    assert client.goaways == [] or client.goaways[-1].error_code == ErrorCodes.NO_ERROR


def test_goodbye_of_an_idle_client_closes_the_connection(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(hello))
    assert client.get().status == 200
    client.send_frame(GoAwayFrame(0, last_stream_id=0))
    client.read_to_end()


def test_goodbye_behind_the_last_request_of_a_packet(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(hello))
    pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", "example.org"), (":path", "/last")]
    client.send_frame(*client.block_frames(1, pseudo), GoAwayFrame(0, last_stream_id=0))
    assert client.read(1).body == b"/last"
    client.read_to_end()


@pytest.mark.parametrize("how", ["close", "half-close", "reset", "reset of the stream"])
@pytest.mark.parametrize("ends", [True, False], ids=["whole", "part"])
def test_application_hears_of_its_client_that_goes(serve: Serve, connect_h2: ConnectH2, how: str, ends: bool) -> None:
    app = Held()
    client = connect_h2(serve(app))
    stream = client.open("/listening", method="POST", ends=ends)
    wait_until(lambda: app.paths, "the request")
    client.synchronize()
    if how == "close":
        client.close()
    elif how == "half-close":
        client.socket.shutdown(socket.SHUT_WR)
    elif how == "reset":
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    else:
        client.reset(stream)
    assert app.disconnected.get()
    if how == "half-close":
        client.read_to_end()
    elif how == "reset of the stream":
        assert client.get("/after").body == b"/after"


def test_client_that_goes_while_it_takes_nothing(serve: Serve, connect_h2: ConnectH2) -> None:
    ended = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 200, [(b"content-length", b"1000000")])
        for number in range(10):
            await send_body(send, bytes(100_000), more=number < 9)
        ended.set((await receive())["type"])
        ended.set((await receive())["type"])

    client = connect_h2(serve(app), {INITIAL_WINDOW_SIZE: 0})
    stream = client.open()
    client.read_until(lambda: client.response(stream).status)
    client.close()
    assert ended.get() in ("http.request", "http.disconnect")


# Silent clients, and those that take nothing.


def test_silent_client_with_a_stream_is_pinged_and_let_go(
    serve: Serve, connect_h2: ConnectH2, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_bounds(monkeypatch, write_stall_seconds=0.3)
    app = Held()
    client = connect_h2(serve(app))
    client.open("/listening")
    client.synchronize()
    client.answers = False
    client.read_to_end()
    assert len(pings(client)) == 1
    assert app.disconnected.get()


def test_client_that_answers_pings_is_kept(
    serve: Serve, connect_h2: ConnectH2, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_bounds(monkeypatch, write_stall_seconds=0.3)
    app = Held()
    client = connect_h2(serve(app))
    stream = client.open("/held")
    client.read_until(lambda: len(pings(client)) >= 3)
    app.gate.open()
    assert client.read(stream).body == b"/held"
    assert not client.goaways


def test_client_that_sends_something_is_not_pinged(
    serve: Serve, connect_h2: ConnectH2, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_bounds(monkeypatch, write_stall_seconds=1)
    app = Held()
    client = connect_h2(serve(app))
    stream = client.open("/held")
    for _ in range(20):
        assert client.get().status == 200
        time.sleep(0.1)
    app.gate.open()
    assert client.read(stream).body == b"/held"
    assert not pings(client)


def test_stream_that_is_not_taken_is_reset(
    serve: Serve, connect_h2: ConnectH2, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_bounds(monkeypatch, write_stall_seconds=0.3)
    told = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/large":
            await receive()
            await start(send, 200, [(b"content-length", b"1000000")])
            for number in range(10):
                await send_body(send, bytes(100_000), more=number < 9)
            told.set((await receive())["type"])
            return
        await respond(send, scope["path"].encode())

    client = connect_h2(serve(app), takes=False)
    client.widen(2**30)
    stream = client.open("/large")
    assert client.read(stream).reset == ErrorCodes.CANCEL
    assert told.get() == "http.disconnect"
    assert client.get("/after").body == b"/after"


def test_stream_that_is_taken_slowly_is_not_reset(
    serve: Serve, connect_h2: ConnectH2, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_bounds(monkeypatch, write_stall_seconds=1)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, bytes(100_000))

    client = connect_h2(serve(app), {INITIAL_WINDOW_SIZE: 0}, takes=False)
    client.widen(2**30)
    stream = client.open()
    for _ in range(20):
        client.widen(5000, stream)
        time.sleep(0.2)
    assert client.read(stream).body == bytes(100_000)


def test_body_that_never_ends_behind_its_answer(
    serve: Serve, connect_h2: ConnectH2, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream is let go, without an error, when the client has sent nothing for a while."""
    give_bounds(monkeypatch, write_stall_seconds=0.3)
    client = connect_h2(serve(hello))
    stream = client.open("/unread", method="POST", ends=False)
    response = client.read(stream)
    assert response.body == b"/unread"
    client.read_until(lambda: response.reset is not None)
    assert response.reset == ErrorCodes.NO_ERROR
    assert client.get("/after").body == b"/after"


def test_request_that_waits_for_its_body_is_let_wait(
    serve: Serve, connect_h2: ConnectH2, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in HTTP/1.1: how long an application waits is its own business."""
    give_bounds(monkeypatch, write_stall_seconds=0.2)
    client = connect_h2(serve(echo_body))
    stream = client.open(method="POST", ends=False)
    client.read_until(lambda: len(pings(client)) >= 3)
    client.send_data(stream, b"late", ends=True)
    assert client.read(stream).body == b"late"


def test_client_that_does_not_read_its_socket_is_let_go(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    give_bounds(monkeypatch, write_stall_seconds=0.5)
    ended = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await start(send, 200, [(b"content-length", b"100000000")])
        for number in range(1000):
            await send_body(send, bytes(100_000), more=number < 999)
        ended.set((await receive())["type"])

    server = serve(app)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.settimeout(DEADLINE)
        connection.connect((server.host, server.port))
        client = H2Client(connection, {INITIAL_WINDOW_SIZE: 2**31 - 1})
        client.widen(2**30)
        client.open()
        assert ended.get() == "http.disconnect"


# The first bytes.


def test_preface_byte_by_byte(serve: Serve, connect: Connect) -> None:
    connection = connect(serve(hello)).socket
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client = Dripping(connection)
    assert client.get("/dripped").body == b"/dripped"


class Dripping(H2Client):
    """Sends every byte by itself."""

    def send(self, data: bytes) -> None:
        """Sends bytes."""
        for byte in data:
            self.socket.sendall(bytes([byte]))


@pytest.mark.parametrize("sent", [b"", PREFACE[:1], PREFACE[:23], PREFACE, PREFACE + b"\0\0"])
def test_first_bytes_take_too_long(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    give_bounds(monkeypatch, linger_seconds=0.1)
    client = connect(serve(hello, timeout_request_header=0.3))
    began = time.monotonic()
    client.send(sent)
    answer = client.read_all()
    assert time.monotonic() - began > 0.25
    if not sent:
        assert answer == b""
    elif len(sent) < len(PREFACE) - 1:
        assert answer.startswith(b"HTTP/1.1 408 ")
    elif len(sent) < len(PREFACE):
        # With all but the last byte it is a request of HTTP/1.1, of a kind that there is not.
        assert answer.startswith(b"HTTP/1.1 505 ")


def test_preface_that_drips_does_not_put_the_end_off(serve: Serve, connect: Connect) -> None:
    client = connect(serve(hello, timeout_request_header=0.3))
    for byte in PREFACE[:-1]:
        client.send(bytes([byte]))
        if not client.is_silent(0.1):
            break
    assert client.read_response().status == 408


@pytest.mark.parametrize("ending", ["close", "half-close"])
@pytest.mark.parametrize("sent", [b"", PREFACE[:10], PREFACE])
def test_client_that_goes_before_it_has_begun(serve: Serve, connect: Connect, ending: str, sent: bytes) -> None:
    server = serve(hello)
    client = connect(server)
    client.send(sent)
    if ending == "close":
        client.close()
    else:
        client.half_close()
        client.read_all()
    assert connect(server).get("/after").body == b"/after"


@pytest.mark.parametrize("target", ["/PRI", "/"])
def test_http1_on_the_same_port(serve: Serve, connect: Connect, connect_h2: ConnectH2, target: str) -> None:
    server = serve(hello)
    first, second = connect(server), connect_h2(server)
    for _ in range(2):
        assert first.get(target).body == target.encode()
        assert second.get(target).body == target.encode()
    first.send(b"P")
    assert second.get().status == 200
    first.send(request("POST", "/posted", "Content-Length: 0")[1:])
    assert first.read_response("POST").body == b"/posted"


def test_http1_that_begins_as_the_preface_does(serve: Serve, connect: Connect) -> None:
    client = connect(serve(hello))
    for byte in request("PUT", "/put", "Content-Length: 0"):
        client.send(bytes([byte]))
    assert client.read_response("PUT").body == b"/put"


def test_offer_to_go_on_with_http2_is_ignored(serve: Serve, connect: Connect) -> None:
    """RFC 9113 section 3.1."""
    recorder = Recorder(hello)
    client = connect(serve(recorder))
    fields = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"]
    for _ in range(2):
        response = client.get("/same", *fields)
        assert (response.status, response.body) == (200, b"/same")
        assert response.header("upgrade") is None
    assert [scope["http_version"] for scope in recorder.scopes] == ["1.1"] * 2


def test_preface_where_http2_is_not_served(serve: Serve, connect: Connect) -> None:
    recorder = Recorder(hello)
    client = connect(serve(recorder, http2=False))
    client.send(PREFACE)
    response = client.read_response()
    assert response.status == 505
    assert client.is_closed()
    assert not recorder.scopes


# TLS.


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the clients trust."""
    if not has_openssl():
        pytest.skip("there is no openssl command")
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def identity(authority: Authority) -> Identity:
    """The server's."""
    return authority.sign("server")


@contextmanager
def connected(server: EmbeddedServer, authority: Authority, *protocols: str) -> Iterator[ssl.SSLSocket]:
    """An encrypted connection, for which these protocols are offered."""
    context = authority.client_context()
    if protocols:
        context.set_alpn_protocols(list(protocols))
    with ExitStack() as stack:
        plain = stack.enter_context(socket.create_connection((server.host, server.port), DEADLINE))
        yield stack.enter_context(context.wrap_socket(plain, server_hostname="localhost"))


@pytest.mark.parametrize("protocols", [["h2"], ["h2", "http/1.1"], ["http/1.1", "h2"]])
def test_http2_over_tls(
    serve: Serve, identity: Identity, authority: Authority, loop: str, protocols: list[str]
) -> None:
    recorder = Recorder(hello)
    server = serve(recorder, loop=loop, **identity.settings)
    with connected(server, authority, *protocols) as connection:
        assert connection.selected_alpn_protocol() == "h2"
        client = H2Client(connection)
        assert client.get("/encrypted").body == b"/encrypted"
        client.send_frame(GoAwayFrame(0, last_stream_id=0))
        client.read_to_end()
    assert recorder.scopes[0]["scheme"] == "https"


@pytest.mark.parametrize("protocols", [[], ["http/1.1"], ["spdy/1"]])
def test_http1_over_tls(serve: Serve, identity: Identity, authority: Authority, protocols: list[str]) -> None:
    server = serve(hello, **identity.settings)
    with connected(server, authority, *protocols) as connection:
        assert connection.selected_alpn_protocol() == ("http/1.1" if "http/1.1" in protocols else None)
        connection.sendall(request("GET", "/encrypted", "Connection: close"))
        assert b"/encrypted" in connection.recv(65536)


def test_http2_over_tls_where_it_is_not_served(serve: Serve, identity: Identity, authority: Authority) -> None:
    server = serve(hello, http2=False, **identity.settings)
    with connected(server, authority, "h2", "http/1.1") as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"


def test_agreed_upon_but_not_spoken(serve: Serve, identity: Identity, authority: Authority) -> None:
    server = serve(hello, **identity.settings)
    with connected(server, authority, "h2") as connection:
        connection.sendall(request())
        received = b""
        while more := connection.recv(65536):
            received += more
    frame, length = Frame.parse_frame_header(memoryview(received[:9]))
    assert frame.type == 4
    goaway = received[9 + length :]
    while goaway[3] != 7:
        goaway = goaway[9 + int.from_bytes(goaway[:3], "big") :]
    assert goaway[13:17] == int(ErrorCodes.PROTOCOL_ERROR).to_bytes(4, "big")


def test_large_answers_over_tls(serve: Serve, identity: Identity, authority: Authority, loop: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, bytes(range(256)) * 8000)

    server = serve(app, loop=loop, **identity.settings)
    with socket.create_connection((server.host, server.port), DEADLINE) as plain:
        client = H2Client(encrypted(plain, str(authority.certificate)))
        streams = [client.open() for _ in range(5)]
        assert [client.read(stream).body == bytes(range(256)) * 8000 for stream in streams] == [True] * 5
        client.close()


def test_stop_over_tls(serve: Serve, identity: Identity, authority: Authority) -> None:
    app = Held()
    server = patient(lambda app, **settings: serve(app, **settings, **identity.settings), app)
    with connected(server, authority, "h2") as connection:
        client = H2Client(connection)
        stream = client.open("/held")
        app.gate.wait_for_arrivals()
        begin_to_stop(server)
        client.read_until(lambda: len(client.goaways) == 2)
        app.gate.open()
        assert client.read(stream).body == b"/held"
        client.read_to_end()
    wait_for_end(server)
