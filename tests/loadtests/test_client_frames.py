"""The frames and the handshake of the WebSocket clients."""

import pytest
from websockets.frames import Frame, Opcode

from loadtests.clients import echo, frames
from loadtests.errors import LoadTestError

KEY = b"\x01\x80\xfe\x33"
SIZES = [0, 1, 125, 126, 65535, 65536, 70_001]


@pytest.mark.parametrize("size", SIZES)
def test_frames_are_those_of_the_websockets_library(size: int) -> None:
    payload = echo.payload(size)
    assert len(payload) == size
    assert frames.frame(frames.TEXT, payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)


def test_a_masked_frame_is_that_of_the_rfc() -> None:
    """RFC 6455, 5.7."""
    assert frames.frame(frames.TEXT, b"Hello", bytes.fromhex("37fa213d")) == bytes.fromhex("818537fa213d7f9f4d5158")


@pytest.mark.parametrize("size", SIZES)
def test_masking_twice_gives_the_payload_back(size: int) -> None:
    payload = bytes(number % 256 for number in range(size))
    assert frames.masked(frames.masked(payload, KEY), KEY) == payload


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_is_taken_when_it_is_complete(size: int) -> None:
    payload = echo.payload(size)
    whole = frames.frame(frames.BINARY, payload)
    for cut in {min(cut, len(whole) - 1) for cut in (0, 1, 3, len(whole))}:
        assert frames.take(bytearray(whole[:cut])) is None
    buffer = bytearray(whole + b"\x89\x00rest")
    assert frames.take(buffer) == frames.Frame(frames.BINARY, payload, True)
    assert frames.take(buffer) == frames.Frame(frames.PING, b"", True)
    assert buffer == b"rest"


def test_a_fragment_is_not_final() -> None:
    taken = frames.take(bytearray(b"\x01\x02ab"))
    assert taken == frames.Frame(frames.TEXT, b"ab", False)


@pytest.mark.parametrize("head", [b"\xc1\x00", b"\x81\x80"])
def test_frames_that_no_server_sends(head: bytes) -> None:
    with pytest.raises(LoadTestError, match="reserved bit or masked"):
        frames.take(bytearray(head))


@pytest.mark.parametrize(
    ("head", "complaint"),
    [
        (b"HTTP/1.1 403 Forbidden", "does not accept"),
        (b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: other", "does not accept"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
            b"Sec-WebSocket-Extensions: permessage-deflate",
            "extension",
        ),
    ],
)
def test_answers_that_open_no_websocket(head: bytes, complaint: str) -> None:
    """The key and its answer are those of RFC 6455, 1.3."""
    with pytest.raises(LoadTestError, match=complaint):
        frames.require_accepted(head, b"dGhlIHNhbXBsZSBub25jZQ==")


def test_an_answer_that_opens_a_websocket() -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    frames.require_accepted(head, b"dGhlIHNhbXBsZSBub25jZQ==")
