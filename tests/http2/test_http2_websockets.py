"""WebSockets over HTTP/2 (RFC 8441): each is a stream of a connection that carries others beside it."""

import asyncio
import logging
import zlib
from typing import Any

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, SettingsFrame, WindowUpdateFrame
from support.access_console import Seen
from support.apps import Gate, Outcome, hello, respond
from support.bounds import give_bounds
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.http2_client import ConnectH2, H2Client, H2Response
from support.loggers import error as error_logger
from support.loggers import restored_loggers
from support.waiting import wait_until
from support.websocket_client import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, close, echo, frame, text

from threadserve.types import Receive, Scope, Send

ENABLE_CONNECT_PROTOCOL = SettingsFrame.ENABLE_CONNECT_PROTOCOL
START = "websocket.http.response.start"
BODY = "websocket.http.response.body"
VERSION = ("sec-websocket-version", "13")
Head = list[tuple[str, str]]


def connecting(path: str = "/", *fields: tuple[str, str]) -> Head:
    """The head of a request for a WebSocket, with these fields."""
    return [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "example.org"),
        (":path", path),
        *fields,
    ]


class WebSocket:
    """A client's end of a WebSocket on a stream. It sends no more than the server's windows allow."""

    def __init__(self, client: H2Client, path: str = "/", *fields: tuple[str, str], ends: bool = False) -> None:
        client.read_until(lambda: ENABLE_CONNECT_PROTOCOL in client.settings)
        self.client = client
        self.stream_id = client.open_with(connecting(path, VERSION, *fields), ends=ends)
        self.response: H2Response = client.response(self.stream_id)
        self.taken = 0
        self.sent = 0

    def accepted(self) -> "WebSocket":
        """Waits until the server has accepted it."""
        self.client.read_until(lambda: self.response.status or self.response.reset is not None)
        assert (self.response.status, self.response.is_complete) == (200, False), self.response
        return self

    def answer(self) -> H2Response:
        """Waits for a complete response, which denies it."""
        return self.client.read(self.stream_id)

    @property
    def window(self) -> int:
        """How many bytes the server takes now."""
        updates = [
            update.window_increment
            for update in self.client.frames
            if isinstance(update, WindowUpdateFrame) and update.stream_id == self.stream_id
        ]
        return self.client.settings[SettingsFrame.INITIAL_WINDOW_SIZE] + sum(updates) - self.sent

    def send(self, data: bytes, *, ends: bool = False) -> None:
        """Sends bytes, as fast as the server takes them."""
        view = memoryview(data)
        while view:
            self.client.read_until(lambda: self.window > 0)
            part = view[: self.window]
            self.client.send_data(self.stream_id, bytes(part), ends=ends and len(part) == len(view))
            self.sent += len(part)
            view = view[len(part) :]
        if ends and not data:
            self.client.send_data(self.stream_id, ends=True)

    def read(self) -> Frame:
        """Reads the next frame, which is not masked."""
        first, size = self._take(2)
        if size == 126:
            size = int.from_bytes(self._take(2), "big")
        elif size == 127:
            size = int.from_bytes(self._take(8), "big")
        return Frame(first, self._take(size))

    def _take(self, size: int) -> bytes:
        end = self.taken + size
        self.client.read_until(lambda: len(self.response.body) >= end)
        data = self.response.body[self.taken : end]
        self.taken = end
        return data

    def read_text(self) -> str:
        """The text of the next frame, which is a whole message."""
        got = self.read()
        assert got.first == 0x80 | TEXT, got
        return got.payload.decode()

    def read_close(self) -> tuple[int, str]:
        """Code and reason of the close frame that comes next."""
        got = self.read()
        assert got.first == 0x80 | CLOSE, got
        return got.close_code, got.payload[2:].decode()

    def read_end(self) -> None:
        """Waits for the stream's end, behind which nothing comes."""
        self.client.read_until(lambda: self.response.is_complete or self.response.reset is not None)
        assert (self.response.is_complete, self.response.reset) == (True, None)
        assert self.taken == len(self.response.body)


class Told:
    """Accepts, sends every message back, and leaves what ends it; answers requests with hello."""

    def __init__(self) -> None:
        self.end = Outcome()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await hello(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
        self.end.set((message["code"], message["reason"]))


def sending(*messages: dict[str, Any]) -> Any:
    """An application that sends these messages to a WebSocket, and waits for its end; answers requests with hello."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await hello(scope, receive, send)
            return
        assert await receive() == {"type": "websocket.connect"}
        for message in messages:
            await send(message)
        while (await receive())["type"] != "websocket.disconnect":
            pass

    return app


ACCEPT = {"type": "websocket.accept"}


def check_goes_on(client: H2Client) -> None:
    """Checks that a connection is still good for a request."""
    assert client.get("/fine").body == b"/fine"
    assert client.goaways == []


@pytest.fixture
def quick_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines are looked at often."""
    give_bounds(monkeypatch, tick_seconds=0.02)


# The handshake.


def test_websockets_are_announced(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(echo))
    client.read_until(lambda: client.settings)
    assert client.settings[ENABLE_CONNECT_PROTOCOL] == 1


def test_scope(serve: Serve, connect_h2: ConnectH2) -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await echo(scope, receive, send)

    server = serve(app, root_path="/root")
    client = connect_h2(server)
    fields = [("x-a", "1"), ("sec-websocket-protocol", "one, two"), ("cookie", "a=b"), ("cookie", "c=d")]
    WebSocket(client, "/a%20b?c=d", *fields).accepted()
    (scope,) = scopes
    assert list(scope["state"]) == ["threadserve_stopping"]
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "2",
        "server": (server.host, server.port),
        "client": client.socket.getsockname(),
        "scheme": "ws",
        "root_path": "/root",
        "path": "/root/a b",
        "raw_path": b"/root/a%20b",
        "query_string": b"c=d",
        "headers": [
            (b"host", b"example.org"),
            (b"sec-websocket-version", b"13"),
            (b"x-a", b"1"),
            (b"sec-websocket-protocol", b"one, two"),
            (b"cookie", b"a=b; c=d"),
        ],
        "subprotocols": ["one", "two"],
        "state": scope["state"],
        "extensions": {"websocket.http.response": {}},
    }


def test_acceptance(serve: Serve, connect_h2: ConnectH2) -> None:
    app = sending({"type": "websocket.accept", "headers": [(b"X-A", b"1"), (b"set-cookie", b"a=b")]})
    websocket = WebSocket(connect_h2(serve(app, date_header=False, server_header=False))).accepted()
    assert websocket.response.headers == [(b"x-a", b"1"), (b"set-cookie", b"a=b")]


@pytest.mark.parametrize("chosen", ["one", "two", None])
def test_subprotocol(serve: Serve, connect_h2: ConnectH2, chosen: str | None) -> None:
    client = connect_h2(serve(sending({"type": "websocket.accept", "subprotocol": chosen})))
    websocket = WebSocket(client, "/", ("sec-websocket-protocol", "one"), ("sec-websocket-protocol", "two")).accepted()
    assert websocket.response.header("sec-websocket-protocol") == (chosen.encode() if chosen else None)


@pytest.mark.parametrize("versions", [[], ["12"], ["13", "13"], [""]], ids=["none", "other", "two", "empty"])
def test_versions_that_are_not_served(serve: Serve, connect_h2: ConnectH2, versions: list[str]) -> None:
    client = connect_h2(serve(Told()))
    head = connecting("/", *[("sec-websocket-version", version) for version in versions])
    stream_id = client.open_with(head, ends=False)
    response = client.read(stream_id)
    assert response.status == 426
    assert response.header("sec-websocket-version") == b"13"
    assert [name for name, _ in response.headers if name in (b"connection", b"upgrade")] == []
    check_goes_on(client)


def test_no_websockets_are_served(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(Told(), ws="none"))
    assert client.read(client.open_with(connecting("/", VERSION), ends=False)).status == 501
    assert client.settings[ENABLE_CONNECT_PROTOCOL] == 0
    check_goes_on(client)


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("drop", [":scheme", ":path", ":authority"])
def test_pseudo_headers_of_a_websocket_are_all_needed(
    serve: Serve, connect_h2: ConnectH2, drop: str, ends: bool
) -> None:
    client = connect_h2(serve(Told()))
    head = [field for field in connecting("/", VERSION) if field[0] != drop]
    response = client.read(client.open_with(head, ends=ends))
    assert response.status == 400 or response.reset == ErrorCodes.PROTOCOL_ERROR
    check_goes_on(client)


def test_closing_before_accepting_is_403(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(sending({"type": "websocket.close"})))
    websocket = WebSocket(client)
    response = websocket.answer()
    assert (response.status, response.body, response.header("connection")) == (403, b"", None)
    websocket.send(text("late"), ends=True)
    check_goes_on(client)


def test_response_of_the_application(serve: Serve, connect_h2: ConnectH2) -> None:
    start = {"type": START, "status": 401, "headers": [(b"WWW-Authenticate", b"Basic")]}
    app = sending(start, {"type": BODY, "body": b"no ", "more_body": True}, {"type": BODY, "body": b"entry"})
    client = connect_h2(serve(app))
    response = WebSocket(client).answer()
    assert (response.status, response.body) == (401, b"no entry")
    assert response.header("www-authenticate") == b"Basic"
    check_goes_on(client)


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([{"type": "websocket.send", "text": "too early"}], RuntimeError),
        ([{"type": "websocket.accept", "headers": [(b"x", b"a\r\nb: c")]}], ValueError),
        ([{"type": "websocket.accept", "headers": [(b"Transfer-Encoding", b"chunked")]}], ValueError),
        ([{"type": "websocket.accept", "headers": [(b":status", b"201")]}], ValueError),
        ([{"type": "websocket.accept", "subprotocol": "other"}], ValueError),
        ([{"type": START, "status": 101}], ValueError),
    ],
)
def test_what_may_not_be_sent_is_an_error_and_500(
    serve: Serve, connect_h2: ConnectH2, error_log: ErrorLog, messages: list[dict[str, Any]], error: type[Exception]
) -> None:
    client = connect_h2(serve(sending(*messages)))
    response = WebSocket(client).answer()
    assert (response.status, response.body) == (500, b"Internal Server Error")
    error_log.expect(error)
    check_goes_on(client)


def test_application_that_returns_without_an_answer(serve: Serve, connect_h2: ConnectH2, error_log: ErrorLog) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await hello(scope, receive, send)

    client = connect_h2(serve(app))
    assert WebSocket(client).answer().status == 500
    error_log.expect(text="without completing the handshake")
    check_goes_on(client)


def test_frames_that_come_before_the_acceptance(serve: Serve, connect_h2: ConnectH2) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await echo(scope, receive, send)

    websocket = WebSocket(connect_h2(serve(app)))
    gate.wait_for_arrivals()
    websocket.send(text("one") + text("two")[:3])
    websocket.send(text("two")[3:])
    websocket.client.synchronize()
    gate.open()
    assert [websocket.accepted().read_text(), websocket.read_text()] == ["one", "two"]


def test_client_that_sends_too_much_before_the_acceptance_has_to_wait(
    serve: Serve, connect_h2: ConnectH2, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody has asked for yet is not to fill the memory."""
    give_bounds(monkeypatch, stream_window_bytes=65536)
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await echo(scope, receive, send)

    websocket = WebSocket(connect_h2(serve(app)))
    gate.wait_for_arrivals()
    data = b"".join([frame(BINARY, b"x" * 5000) for _ in range(200)])
    for _ in range(100):
        window = min(websocket.window, len(data) - websocket.sent)
        if not window:
            break
        websocket.send(data[websocket.sent : websocket.sent + window])
        websocket.client.synchronize()
    early = websocket.sent
    gate.open()
    websocket.send(data[early:])
    for _ in range(200):
        assert websocket.read().payload == b"x" * 5000
    assert early <= 300_000


def test_client_that_goes_on_when_it_is_denied_is_stopped(
    serve: Serve, connect_h2: ConnectH2, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_bounds(monkeypatch, max_discard_bytes=100_000, stream_window_bytes=65536)
    client = connect_h2(serve(sending({"type": "websocket.close"})))
    websocket = WebSocket(client)
    assert websocket.answer().status == 403
    for _ in range(20):
        if websocket.response.reset is not None or not websocket.window:
            break
        websocket.send(b"x" * min(websocket.window, 16384))
        client.synchronize()
    assert websocket.sent <= 250_000
    check_goes_on(client)


def test_websocket_whose_client_has_nothing_to_send(serve: Serve, connect_h2: ConnectH2) -> None:
    app = Told()
    client = connect_h2(serve(app))
    websocket = WebSocket(client, ends=True)
    client.read_until(lambda: websocket.response.is_complete or websocket.response.reset is not None)
    assert app.end.get() == (1006, "")
    check_goes_on(client)


# Messages.


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1_000_000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["text", "binary"])
def test_echo(serve: Serve, connect_h2: ConnectH2, loop: str, opcode: int, size: int) -> None:
    websocket = WebSocket(connect_h2(serve(echo, loop=loop))).accepted()
    payload = b"x" * size if opcode == TEXT else (bytes(range(256)) * (size // 256 + 1))[:size]
    for _ in range(2):
        websocket.send(frame(opcode, payload))
        assert websocket.read() == Frame(0x80 | opcode, payload)


def test_message_in_many_parts(serve: Serve, connect_h2: ConnectH2) -> None:
    """Its frames are cut anywhere: those of WebSocket and those of HTTP/2 have nothing to do with each other."""
    websocket = WebSocket(connect_h2(serve(echo))).accepted()
    data = (
        frame(TEXT, b"one", fin=False)
        + frame(PING, b"?")
        + frame(CONTINUATION, "zw\xf6lf".encode(), fin=False)
        + frame(CONTINUATION)
    )
    for byte in data:
        websocket.send(bytes([byte]))
    assert websocket.read() == Frame(0x80 | PONG, b"?")
    assert websocket.read_text() == "onezw\xf6lf"
    websocket.send(b"".join([text(str(number)) for number in range(100)]))
    assert [websocket.read_text() for _ in range(100)] == [str(number) for number in range(100)]


def test_compressed_messages(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(echo))
    websocket = WebSocket(client, "/", ("sec-websocket-extensions", "permessage-deflate")).accepted()
    assert (websocket.response.header("sec-websocket-extensions") or b"").startswith(b"permessage-deflate")
    compressor, decompressor = zlib.compressobj(wbits=-15), zlib.decompressobj(-15)
    for payload in (b"hello", b"hello" * 100_000, b"hello"):
        packed = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
        websocket.send(frame(TEXT, packed[:-4], rsv=4))
        got = websocket.read()
        assert got.first == 0x80 | 0x40 | TEXT
        assert decompressor.decompress(got.payload + b"\0\0\xff\xff") == payload


def test_no_compression_unless_it_is_offered(serve: Serve, connect_h2: ConnectH2) -> None:
    websocket = WebSocket(connect_h2(serve(echo))).accepted()
    assert websocket.response.header("sec-websocket-extensions") is None


def test_message_that_is_too_large(serve: Serve, connect_h2: ConnectH2) -> None:
    app = Told()
    client = connect_h2(serve(app, ws_max_size=1000))
    websocket = WebSocket(client).accepted()
    websocket.send(frame(BINARY, b"x" * 1000))
    assert websocket.read() == Frame(0x80 | BINARY, b"x" * 1000)
    websocket.send(frame(BINARY, b"x" * 1001))
    assert websocket.read_close()[0] == 1009
    websocket.read_end()
    assert app.end.get()[0] == 1009
    check_goes_on(client)


@pytest.mark.parametrize(
    "data", [frame(TEXT, b"x", mask=None), frame(3), frame(TEXT, b"\xff"), frame(TEXT, b"x", rsv=4)]
)
def test_malformed_frames_end_only_their_stream(serve: Serve, connect_h2: ConnectH2, data: bytes) -> None:
    app = Told()
    client = connect_h2(serve(app))
    websocket = WebSocket(client).accepted()
    websocket.send(data)
    assert websocket.read_close()[0] in (1002, 1007)
    websocket.read_end()
    app.end.get()
    check_goes_on(client)


def test_pings_of_the_client_are_answered(serve: Serve, connect_h2: ConnectH2) -> None:
    websocket = WebSocket(connect_h2(serve(echo))).accepted()
    websocket.send(frame(PING, b"one") + frame(PING, b""))
    assert [websocket.read(), websocket.read()] == [Frame(0x80 | PONG, b"one"), Frame(0x80 | PONG, b"")]


def test_pings_of_the_server(serve: Serve, connect_h2: ConnectH2, quick_ticks: None) -> None:
    client = connect_h2(serve(Told(), ws_ping_interval=0.05, ws_ping_timeout=60))
    websocket = WebSocket(client).accepted()
    for _ in range(4):
        ping = websocket.read()
        assert ping.first == 0x80 | PING
        websocket.send(frame(PONG, ping.payload))
    check_goes_on(client)


def test_pings_that_are_not_answered(serve: Serve, connect_h2: ConnectH2, quick_ticks: None) -> None:
    """The connection is not the WebSocket's alone: it goes on."""
    app = Told()
    client = connect_h2(serve(app, ws_ping_interval=0.05, ws_ping_timeout=0.3))
    websocket = WebSocket(client).accepted()
    assert websocket.read().first == 0x80 | PING
    assert websocket.read_close() == (1011, "keepalive ping timeout")
    assert app.end.get() == (1006, "keepalive ping timeout")
    check_goes_on(client)


# Ends.


@pytest.mark.parametrize(
    ("data", "told"),
    [(close(1000, "bye"), (1000, "bye")), (close(4999), (4999, "")), (frame(CLOSE), (1005, ""))],
)
@pytest.mark.parametrize("ends", [True, False], ids=["with END_STREAM", "without"])
def test_client_closes(serve: Serve, connect_h2: ConnectH2, data: bytes, told: tuple[int, str], ends: bool) -> None:
    app = Told()
    client = connect_h2(serve(app))
    websocket = WebSocket(client).accepted()
    websocket.send(data, ends=ends)
    assert websocket.read_close() == told
    websocket.read_end()
    assert app.end.get() == told
    if not ends:
        websocket.send(b"", ends=True)
    check_goes_on(client)


def test_client_closes_and_never_ends_its_stream(serve: Serve, connect_h2: ConnectH2, quick_ticks: None) -> None:
    client = connect_h2(serve(Told()))
    websocket = WebSocket(client).accepted()
    websocket.send(close(1000))
    client.read_until(lambda: websocket.response.reset is not None)
    check_goes_on(client)


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
@pytest.mark.parametrize("ends", [True, False], ids=["with END_STREAM", "without"])
def test_application_closes(serve: Serve, connect_h2: ConnectH2, code: int, ends: bool) -> None:
    client = connect_h2(serve(sending(ACCEPT, {"type": "websocket.close", "code": code, "reason": "bye"})))
    websocket = WebSocket(client).accepted()
    assert websocket.read_close() == (code, "bye")
    assert not websocket.response.is_complete
    websocket.send(close(code, "bye"), ends=ends)
    websocket.read_end()
    if not ends:
        websocket.send(b"", ends=True)
    check_goes_on(client)


@pytest.mark.parametrize(("raises", "code"), [(True, 1011), (False, 1000)], ids=["raises", "returns"])
def test_application_ends(serve: Serve, connect_h2: ConnectH2, error_log: ErrorLog, raises: bool, code: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await hello(scope, receive, send)
            return
        await send(ACCEPT)
        await send({"type": "websocket.send", "text": "last"})
        if raises:
            raise ValueError("wanted")

    client = connect_h2(serve(app))
    websocket = WebSocket(client).accepted()
    assert websocket.read_text() == "last"
    assert websocket.read_close() == (code, "")
    websocket.send(close(code), ends=True)
    websocket.read_end()
    if raises:
        error_log.expect(ValueError, "wanted")
    check_goes_on(client)


@pytest.mark.parametrize("how", ["reset", "end", "connection"])
def test_client_leaves_without_a_close_frame(serve: Serve, connect_h2: ConnectH2, how: str) -> None:
    app = Told()
    server = serve(app)
    client = connect_h2(server)
    websocket = WebSocket(client).accepted()
    websocket.send(text("one"))
    assert websocket.read_text() == "one"
    if how == "reset":
        client.reset(websocket.stream_id)
    elif how == "end":
        websocket.send(b"", ends=True)
        websocket.read_end()
    else:
        client.close()
    assert app.end.get() == (1006, "")
    check_goes_on(connect_h2(server) if how == "connection" else client)


@pytest.mark.parametrize("accepts", [True, False], ids=["open", "not accepted"])
def test_send_to_a_client_that_has_reset(serve: Serve, connect_h2: ConnectH2, accepts: bool) -> None:
    gate, outcome = Gate(), Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await hello(scope, receive, send)
            return
        await receive()
        if accepts:
            await send(ACCEPT)
        gate.arrived += 1
        told = await receive()
        try:
            await send({"type": "websocket.send", "text": "late"})
        except OSError:
            outcome.set(told)
        # Those are let go.
        await send(ACCEPT)
        await send({"type": "websocket.close"})

    client = connect_h2(serve(app))
    websocket = WebSocket(client)
    gate.wait_for_arrivals()
    client.reset(websocket.stream_id)
    assert outcome.get() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
    check_goes_on(client)


def test_server_that_stops_closes(serve: Serve, connect_h2: ConnectH2) -> None:
    app = Told()
    server = serve(app)
    client = connect_h2(server)
    first, second = WebSocket(client).accepted(), WebSocket(client).accepted()
    server.server.should_exit = True
    for websocket in (first, second):
        assert websocket.read_close() == (1012, "")
        websocket.send(close(1012), ends=True)
        websocket.read_end()
    assert app.end.get() == (1012, "")
    assert client.read_goaway().error_code == ErrorCodes.NO_ERROR
    client.read_to_end()


# Others on the same connection.


def test_websockets_and_requests_side_by_side(serve: Serve, connect_h2: ConnectH2) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await echo(scope, receive, send)
            return
        await gate.wait()
        await respond(send, b"x" * 300_000)

    client = connect_h2(serve(app))
    first, second = WebSocket(client).accepted(), WebSocket(client, "/second").accepted()
    request = client.open()
    gate.wait_for_arrivals()
    for number in range(20):
        first.send(text(f"first {number}"))
        second.send(text(f"second {number}"))
        assert (first.read_text(), second.read_text()) == (f"first {number}", f"second {number}")
    assert client.response(request).status == 0
    gate.open()
    first.send(frame(BINARY, b"y" * 300_000))
    assert client.read(request).body == b"x" * 300_000
    assert first.read().payload == b"y" * 300_000
    client.reset(first.stream_id)
    second.send(text("still there"))
    assert second.read_text() == "still there"


def test_slow_reader_of_a_websocket_holds_up_nobody(serve: Serve, connect_h2: ConnectH2) -> None:
    """The application waits for its client, and others are served meanwhile."""
    sent: list[int] = []
    waits = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await hello(scope, receive, send)
            return
        await receive()
        await send(ACCEPT)
        for number in range(50):
            # The loop has a turn only when `send` waits.
            asyncio.get_running_loop().call_soon(setattr, waits, "arrived", 1)
            await send({"type": "websocket.send", "bytes": b"x" * 60_000})
            sent.append(number)

    client = connect_h2(serve(app), takes=False)
    websocket = WebSocket(client).accepted()
    waits.wait_for_arrivals()
    client.widen(1_000_000)
    for _ in range(10):
        assert client.get("/fine").body == b"/fine"
    assert len(sent) < 10
    client.widen(10_000_000)
    client.widen(10_000_000, websocket.stream_id)
    for _ in range(50):
        assert websocket.read() == Frame(0x80 | BINARY, b"x" * 60_000)
    assert websocket.read_close() == (1000, "")


def test_slow_application_holds_up_nobody(serve: Serve, connect_h2: ConnectH2, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client has to wait, and no other stream of the connection."""
    give_bounds(monkeypatch, stream_window_bytes=65536)
    gate, received = Gate(), Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await hello(scope, receive, send)
            return
        await receive()
        await send(ACCEPT)
        await gate.wait()
        received.set([len((await receive())["bytes"]) for _ in range(200)])

    client = connect_h2(serve(app))
    websocket = WebSocket(client).accepted()
    data = b"".join([frame(BINARY, b"x" * 5000) for _ in range(200)])
    for _ in range(100):
        window = min(websocket.window, len(data) - websocket.sent)
        if not window:
            break
        websocket.send(data[websocket.sent : websocket.sent + window])
        client.synchronize()
    assert websocket.sent < 500_000
    check_goes_on(client)
    gate.open()
    websocket.send(data[websocket.sent :])
    assert received.get() == [5000] * 200


def test_many_websockets(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(echo, threads=2))
    websockets = [WebSocket(client, f"/{number}") for number in range(90)]
    for number, websocket in enumerate(websockets):
        websocket.accepted().send(text(str(number)))
    assert [websocket.read_text() for websocket in websockets] == [str(number) for number in range(90)]


def test_places_are_given_back(serve: Serve, connect_h2: ConnectH2) -> None:
    """More than a connection may have at once, one after another, by every kind of end."""
    client = connect_h2(serve(Told()))
    for number in range(150):
        websocket = WebSocket(client).accepted()
        if number % 3 == 0:
            websocket.send(close(1000), ends=True)
            client.read(websocket.stream_id)
        elif number % 3 == 1:
            client.reset(websocket.stream_id)
        else:
            websocket.send(b"", ends=True)
            client.read(websocket.stream_id)
    check_goes_on(client)


def test_frames_leave_at_once(serve: Serve, connect_h2: ConnectH2) -> None:
    """Each message is a frame of data by itself, which waits for no other."""
    client = connect_h2(serve(echo))
    websocket = WebSocket(client).accepted()
    for number in range(5):
        websocket.send(text(str(number)))
        assert websocket.read_text() == str(number)
    data = [got.data for got in client.frames if isinstance(got, DataFrame)]
    assert data == [b"\x81\x01%d" % number for number in range(5)]


def test_log_of_openings(serve: Serve, connect_h2: ConnectH2) -> None:
    seen = Seen()
    with restored_loggers():
        error_logger.setLevel(logging.INFO)
        error_logger.addHandler(seen)
        client = connect_h2(serve(Told()))
        WebSocket(client, "/a?b=c").accepted()
        wait_until(lambda: any("WebSocket" in message for message in seen.messages), "the line")
    (line,) = [message for message in seen.messages if "WebSocket" in message]
    assert line == f'127.0.0.1:{client.socket.getsockname()[1]} - "WebSocket /a?b=c" [accepted]'
