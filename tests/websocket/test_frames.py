"""Frames and messages: what RFC 6455 allows arrives, and what it does not is refused with the code that it names."""

import struct

import pytest
from support.apps import Outcome
from support.embedded_server import EmbeddedServer, Serve
from support.error_log import ErrorLog
from support.websocket_client import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    ConnectWebSocket,
    WebSocketClient,
    close,
    echo,
    frame,
    text,
)

from threadserve.types import Receive, Scope, Send

MAX_SIZE = 200_000


@pytest.fixture(scope="module", params=["wsproto", "websockets"])
def server(serve_shared: Serve, request: pytest.FixtureRequest) -> EmbeddedServer:
    """An echo server of each implementation, with a limit."""
    return serve_shared(echo, ws=request.param, ws_max_size=MAX_SIZE)


@pytest.fixture
def client(server: EmbeddedServer, connect: ConnectWebSocket, error_log: ErrorLog) -> WebSocketClient:
    """An open WebSocket."""
    client = connect(server)
    client.open()
    return client


@pytest.mark.parametrize("size", [0, 1, 3, 4, 125, 126, 127, 1499, 1500, 1501, 65535, 65536, MAX_SIZE])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_messages_of_every_size(client: WebSocketClient, opcode: int, size: int) -> None:
    payload = (b"\x00\x7fabc" * (size // 5 + 1))[:size]
    client.send(frame(opcode, payload))
    assert client.read_frame() == (0x80 | opcode, payload)


def test_many_messages_in_one_piece(client: WebSocketClient) -> None:
    expected = [f"message {number}" for number in range(300)]
    client.send(b"".join(map(text, expected)))
    assert [client.read_text() for _ in expected] == expected


@pytest.mark.parametrize("message", [text("grüße"), frame(BINARY, bytes(range(200)))], ids=["text", "binary"])
def test_a_message_byte_by_byte(client: WebSocketClient, message: bytes) -> None:
    for index in range(len(message)):
        client.send(message[index : index + 1])
    got = client.read_frame()
    assert got == (message[0], bytes(range(200)) if message[0] == 0x82 else "grüße".encode())


def test_fragments_are_put_together(client: WebSocketClient) -> None:
    client.send(frame(TEXT, b"1 ", fin=False) + frame(CONTINUATION, b"2 ", fin=False) + frame(CONTINUATION, b"3"))
    client.send(frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"", fin=False) + frame(CONTINUATION, b"\xff"))
    assert client.read_text() == "1 2 3"
    assert client.read_frame() == (0x82, b"\xff")


def test_a_character_may_be_split_over_fragments(client: WebSocketClient) -> None:
    first, second = "€".encode()[:1], "€".encode()[1:]
    client.send(frame(TEXT, first, fin=False) + frame(CONTINUATION, second))
    assert client.read_text() == "€"


def test_control_frames_may_come_between_fragments(client: WebSocketClient) -> None:
    client.send(frame(TEXT, b"a", fin=False) + frame(PING, b"hello") + frame(PONG, b"?") + frame(CONTINUATION, b"b"))
    assert client.read_frame() == (0x80 | PONG, b"hello")
    assert client.read_text() == "ab"


def test_pings_are_answered(client: WebSocketClient) -> None:
    client.send(frame(PING) + frame(PING, b"x" * 125))
    assert [client.read_frame(), client.read_frame()] == [(0x80 | PONG, b""), (0x80 | PONG, b"x" * 125)]


def raw(*parts: bytes | int) -> bytes:
    """Bytes, and single bytes as numbers."""
    return b"".join(bytes([part]) if isinstance(part, int) else part for part in parts)


NO_KEY = b"\0\0\0\0"
PROTOCOL_ERRORS = {
    "unmasked": frame(TEXT, b"x", mask=None),
    "unmasked, long": frame(TEXT, b"x" * 300, mask=None),
    "reserved bit 1": frame(TEXT, b"x", rsv=4),
    "reserved bit 2": frame(TEXT, b"x", rsv=2),
    "reserved bit 3": frame(BINARY, b"x", rsv=1),
    "reserved bit on a ping": frame(PING, rsv=4),
    "reserved opcode": frame(3, b"x"),
    "reserved control opcode": frame(11, b"x"),
    "fragmented ping": frame(PING, b"x", fin=False),
    "fragmented close": frame(CLOSE, b"", fin=False),
    "long ping": frame(PING, b"x" * 126),
    "very long ping, of which the head alone comes": raw(0x89, 0xFF),
    "continuation of nothing": frame(CONTINUATION, b"x"),
    "text amid a message": frame(BINARY, b"x", fin=False) + frame(TEXT, b"x"),
    "binary amid a message": frame(TEXT, b"x", fin=False) + frame(BINARY, b"x"),
    "two bytes of length for one": raw(0x81, 0xFE, b"\0\x05", NO_KEY, b"12345"),
    "eight bytes of length for one": raw(0x82, 0xFF, struct.pack("!Q", 5), NO_KEY, b"12345"),
    "eight bytes of length for two": raw(0x82, 0xFF, struct.pack("!Q", 300), NO_KEY),
    "close of one byte": frame(CLOSE, b"\x03"),
    "close with 999": close(999),
    "close with 1004": close(1004),
    "close with 1005": close(1005),
    "close with 1006": close(1006),
    "close with 1015": close(1015),
    "close with 1016": close(1016),
    "close with 2999": close(2999),
    "close with 5000": close(5000),
}
INVALID_DATA = {
    "a byte that is no UTF-8": frame(TEXT, b"\xff"),
    "half a character": frame(TEXT, "€".encode()[:2]),
    "half a character at the end of fragments": frame(TEXT, b"a", fin=False) + frame(CONTINUATION, "€".encode()[:2]),
    "a bad byte in an early fragment": frame(TEXT, b"\xc3", fin=False) + frame(CONTINUATION, b"a", fin=False),
    "a surrogate": frame(TEXT, b"\xed\xa0\x80"),
    "a reason that is no UTF-8": frame(CLOSE, b"\x03\xe8\xff"),
}
TOO_BIG = {
    "a frame": frame(BINARY, b"x" * (MAX_SIZE + 1)),
    "the head of a frame": raw(0x82, 0xFF, struct.pack("!Q", MAX_SIZE + 1), NO_KEY),
    "the largest head": raw(0x82, 0xFF, b"\xff" * 8, NO_KEY),
    "fragments": frame(BINARY, b"x" * MAX_SIZE, fin=False) + frame(CONTINUATION, b"x"),
    "the head of a fragment": frame(TEXT, b"x" * MAX_SIZE, fin=False) + frame(CONTINUATION, b"x" * 200, fin=False)[:8],
}
FAULTS = [
    pytest.param(data, code, id=name)
    for code, faults in ((1002, PROTOCOL_ERRORS), (1007, INVALID_DATA), (1009, TOO_BIG))
    for name, data in faults.items()
]


@pytest.mark.parametrize(("data", "code"), FAULTS)
def test_faults_fail_the_websocket(client: WebSocketClient, data: bytes, code: int) -> None:
    client.send(text("before"))
    assert client.read_text() == "before"
    client.send(data)
    got, reason = client.read_close()
    assert got == code
    assert reason
    assert client.is_closed()


def test_the_app_is_told_of_a_fault(serve: Serve, connect: ConnectWebSocket) -> None:
    seen = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        seen.set([await receive(), await receive(), await receive()])

    client = connect(serve(app))
    client.open(behind=text("good") + frame(TEXT, b"\xff") + text("never seen"))
    client.read_close()
    good, first, second = seen.get()
    assert good == {"type": "websocket.receive", "text": "good"}
    assert first["type"] == "websocket.disconnect"
    assert first["code"] == 1007
    assert second == first


@pytest.mark.parametrize("cut", [1, 2, 4, 7])
def test_faults_in_pieces(client: WebSocketClient, cut: int) -> None:
    data = frame(TEXT, b"x" * 300, mask=None)
    client.send(data[:cut])
    client.send(data[cut:])
    assert client.read_close()[0] == 1002
