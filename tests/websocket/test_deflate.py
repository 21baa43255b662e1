"""Compressed messages: what is negotiated, what arrives, and that nothing inflates beyond its limit."""

import tracemalloc
import zlib

import pytest
from support.embedded_server import EmbeddedServer, Serve
from support.websocket_client import BINARY, CONTINUATION, PING, TEXT, ConnectWebSocket, WebSocketClient, echo, frame
from wsproto.frame_protocol import FrameProtocol, ParseFailed

from threadserve.websocket.deflate import BoundedDeflate, negotiate_deflate

MAX_SIZE = 100_000
OFFER = "Sec-WebSocket-Extensions: permessage-deflate"
RSV1 = 4


def deflated(data: bytes, level: int = 9) -> bytes:
    """One compressed message."""
    compressor = zlib.compressobj(level, wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")


def inflated(data: bytes) -> bytes:
    """What a compressed message holds."""
    return zlib.decompress(data + b"\0\0\xff\xff\x03\0", wbits=-15)


@pytest.fixture(scope="module")
def server(serve_shared: Serve) -> EmbeddedServer:
    """An echo server that compresses."""
    return serve_shared(echo, ws_max_size=MAX_SIZE)


@pytest.fixture
def client(server: EmbeddedServer, connect: ConnectWebSocket) -> WebSocketClient:
    """An open WebSocket on which messages may be compressed."""
    client = connect(server)
    assert client.open("/", OFFER).header("sec-websocket-extensions") == b"permessage-deflate"
    return client


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("permessage-deflate", "permessage-deflate"),
        ("x-other, permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits=15"),
        ("permessage-deflate; client_max_window_bits=10", "permessage-deflate; client_max_window_bits=10"),
        ('permessage-deflate; server_max_window_bits="9"', "permessage-deflate; server_max_window_bits=9"),
        ("permessage-deflate; server_no_context_takeover", "permessage-deflate; server_no_context_takeover"),
        ("permessage-deflate; client_no_context_takeover", "permessage-deflate; client_no_context_takeover"),
        ("permessage-deflate; bogus, permessage-deflate", "permessage-deflate"),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", "permessage-deflate"),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; server_max_window_bits=07", None),
        ("permessage-deflate; client_max_window_bits=x", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits", None),
        ("x-webkit-deflate-frame", None),
        ("", None),
        (";;,=", None),
    ],
)
def test_negotiation(offer: str, answer: str | None) -> None:
    agreed = negotiate_deflate(offer, MAX_SIZE)
    assert (agreed and agreed[1]) == answer


@pytest.mark.parametrize("data", [b"", b"hello " * 20, b"x" * MAX_SIZE])
def test_compressed_messages(client: WebSocketClient, data: bytes) -> None:
    for opcode in (TEXT, BINARY):
        client.send(frame(opcode, deflated(data), rsv=RSV1))
        got = client.read_frame()
        assert got.first == 0xC0 | opcode
        decompressor = zlib.decompressobj(-15)
        if opcode == TEXT:
            assert decompressor.decompress(got.payload + b"\0\0\xff\xff") == data


def test_incompressible_data_of_the_full_size(client: WebSocketClient) -> None:
    data = b"".join(zlib.crc32(b"%d" % number).to_bytes(4, "big") for number in range(MAX_SIZE // 4))
    compressed = deflated(data)
    assert len(compressed) > MAX_SIZE
    client.send(frame(BINARY, compressed, rsv=RSV1))
    assert inflated(client.read_frame().payload) == data


def test_messages_may_be_uncompressed_all_the_same(client: WebSocketClient) -> None:
    client.send(frame(TEXT, b"plain") + frame(TEXT, deflated(b"packed"), rsv=RSV1))
    decompressor = zlib.decompressobj(-15)
    texts = [decompressor.decompress(client.read_frame().payload + b"\0\0\xff\xff") for _ in range(2)]
    assert texts == [b"plain", b"packed"]


def test_a_ping_amid_a_compressed_message(client: WebSocketClient) -> None:
    data = deflated(b"to be continued")
    client.send(frame(TEXT, data[:5], rsv=RSV1, fin=False) + frame(PING, b"!") + frame(CONTINUATION, data[5:]))
    assert client.read_frame().payload == b"!"
    assert inflated(client.read_frame().payload) == b"to be continued"


def test_a_context_is_carried_from_message_to_message(client: WebSocketClient) -> None:
    compressor = zlib.compressobj(wbits=-15)
    decompressor = zlib.decompressobj(-15)
    for number in range(5):
        data = b"the same words again and again %d" % number
        packed = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
        client.send(frame(TEXT, packed[:-4], rsv=RSV1))
        assert decompressor.decompress(client.read_frame().payload + b"\0\0\xff\xff") == data


BOMB = deflated(b"\0" * 50_000_000)
TOO_LONG = f"a message is longer than {MAX_SIZE} bytes"
MISPLACED = "RSV1 is set in a frame that does not begin a message"


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        pytest.param(frame(BINARY, BOMB, rsv=RSV1), 1009, TOO_LONG, id="a bomb"),
        pytest.param(
            frame(BINARY, BOMB[:100], rsv=RSV1, fin=False) + frame(CONTINUATION, BOMB[100:]), 1009, TOO_LONG, id="two"
        ),
        pytest.param(frame(BINARY, deflated(b"x" * (MAX_SIZE + 1)), rsv=RSV1), 1009, TOO_LONG, id="one byte too many"),
        pytest.param(frame(TEXT, b"\xff\xff\xff", rsv=RSV1), 1007, "malformed compressed data", id="no deflate"),
        pytest.param(frame(PING, b"x", rsv=RSV1), 1002, MISPLACED, id="a compressed ping"),
        pytest.param(
            frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", rsv=RSV1), 1002, MISPLACED, id="marked twice"
        ),
        pytest.param(frame(TEXT, b"", rsv=2), 1002, "", id="another bit"),
        pytest.param(frame(TEXT, deflated(b"\xff"), rsv=RSV1), 1007, "", id="no UTF-8"),
    ],
)  # fmt: skip
def test_faults(client: WebSocketClient, data: bytes, code: int, reason: str) -> None:
    client.send(data)
    told = client.read_close()
    assert told == (code, reason or told[1])
    assert client.is_closed()


def test_a_bomb_is_not_inflated_beyond_the_limit() -> None:
    agreed = negotiate_deflate("permessage-deflate", 10_000)
    assert agreed is not None
    deflate: BoundedDeflate = agreed[0]
    protocol = FrameProtocol(False, [deflate])
    tracemalloc.start()
    protocol.receive_bytes(frame(BINARY, BOMB, rsv=RSV1))
    with pytest.raises(ParseFailed):
        list(protocol.received_frames())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize("offer", [(), (OFFER,)])
def test_compression_can_be_turned_off(serve: Serve, connect: ConnectWebSocket, offer: tuple[str, ...]) -> None:
    client = connect(serve(echo, ws_per_message_deflate=False))
    assert client.open("/", *offer).header("sec-websocket-extensions") is None
    client.send(frame(TEXT, b"x", rsv=RSV1))
    assert client.read_close()[0] == 1002


def test_a_last_deflate_block_ends_a_message_and_not_the_connection(client: WebSocketClient) -> None:
    for data in (b"first", b"second"):
        compressor = zlib.compressobj(wbits=-15)
        client.send(frame(TEXT, compressor.compress(data) + compressor.flush() + b"\0", rsv=RSV1))
        assert client.read_frame().opcode == TEXT
