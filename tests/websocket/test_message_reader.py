"""The reader of frames by itself: what it makes of bytes, in whatever pieces, and what it leaves until it is asked."""

import tracemalloc
import zlib
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.websocket_client import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close, frame, text
from wsproto.frame_protocol import ParseFailed

from threadserve.websocket.deflate import negotiate_deflate
from threadserve.websocket.masking import Unmask, make_unmask
from threadserve.websocket.message_reader import Close, Event, MessageReader, Ping, Pong, encode_close_frame

LIMIT = 100_000
RSV1 = 4
STREAM = (
    text("grüße")
    + frame(BINARY, bytes(range(20)))
    + frame(TEXT, b"a\xc3", fin=False)
    + frame(PING, b"!")
    + frame(CONTINUATION, b"\xa4")
    + frame(PONG)
    + text("")
    + close(1000, "bye")
)
EVENTS: list[Event] = ["grüße", bytes(range(20)), Ping(b"!"), "aä", Pong(b""), "", Close(1000, "bye")]


@pytest.fixture(scope="module", params=["wsproto", "websockets"])
def unmask(request: pytest.FixtureRequest) -> Unmask:
    """What takes masks off, of each implementation."""
    return make_unmask(request.param)


@pytest.fixture
def reader(unmask: Unmask) -> MessageReader:
    """A reader that has read nothing."""
    return MessageReader(LIMIT, unmask)


def events_of(reader: MessageReader, *pieces: bytes) -> list[Event]:
    """What a reader makes of these pieces, up to a close frame."""
    events: list[Event] = []
    for piece in pieces:
        reader.feed(piece)
        while (event := reader.next_event()) is not None:
            events.append(event)
            if isinstance(event, Close):
                break
    return events


def in_pieces(data: bytes, *cuts: int) -> list[bytes]:
    return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def test_a_stream_in_one_piece(reader: MessageReader) -> None:
    assert events_of(reader, STREAM) == EVENTS
    assert not reader.is_amid_frame


def test_a_stream_byte_by_byte(reader: MessageReader) -> None:
    assert events_of(reader, *(STREAM[index : index + 1] for index in range(len(STREAM)))) == EVENTS
    assert not reader.is_amid_frame


def test_a_stream_in_any_three_pieces(unmask: Unmask) -> None:
    for cuts in combinations(range(1, len(STREAM)), 2):
        assert events_of(MessageReader(LIMIT, unmask), *in_pieces(STREAM, *cuts)) == EVENTS


@pytest.mark.parametrize("size", [125, 126, 1499, 1500, 65535, 65536, LIMIT])
@pytest.mark.parametrize("last", ["b", "ü"], ids=["ascii", "above"])
def test_large_messages_in_pieces(reader: MessageReader, size: int, last: str) -> None:
    content = "abcdefg" * (size // 7 + 1)
    content = content[: size - len(last.encode())] + last
    for opcode, expected in ((TEXT, content), (BINARY, content.encode())):
        data = frame(opcode, content.encode()) + text("next")
        for step in (len(data), 4093, 32768):
            pieces = [data[begin : begin + step] for begin in range(0, len(data), step)]
            assert events_of(reader, *pieces) == [expected, "next"]


@given(
    st.lists(st.binary(max_size=2000) | st.text(max_size=2000), max_size=5),
    st.binary(min_size=4, max_size=4),
    st.data(),
)
def test_messages_arrive_whatever_the_mask_and_the_pieces(
    messages: list[str | bytes], mask: bytes, data: st.DataObject
) -> None:
    stream = b"".join(
        frame(TEXT, message.encode(), mask=mask) if isinstance(message, str) else frame(BINARY, message, mask=mask)
        for message in messages
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    assert events_of(MessageReader(LIMIT, make_unmask("auto")), *in_pieces(stream, *cuts)) == messages


def test_nothing_is_looked_at_before_it_is_asked_for(reader: MessageReader) -> None:
    reader.feed(text("one") + text("two"))
    assert reader.next_event() == "one"
    reader.feed(text("three")[:5])
    reader.feed(text("three")[5:] + frame(TEXT, b"\xff") + text("never"))
    assert reader.is_amid_frame
    assert [reader.next_event(), reader.next_event()] == ["two", "three"]
    with pytest.raises(ParseFailed, match="UTF-8"):
        reader.next_event()


def test_what_is_fed_amid_a_message_that_has_come_in_pieces_waits_behind_it(reader: MessageReader) -> None:
    data = frame(BINARY, b"x" * 5000)
    reader.feed(data[:100])
    assert reader.next_event() is None
    assert reader.is_amid_frame
    reader.feed(data[100:] + text("a")[:4])
    reader.feed(text("a")[4:] + text("b"))
    assert [reader.next_event() for _ in range(4)] == [b"x" * 5000, "a", "b", None]
    assert not reader.is_amid_frame


@pytest.mark.parametrize("size", [1, 2, 5, 6, 7])
def test_an_incomplete_frame_is_known(reader: MessageReader, size: int) -> None:
    assert events_of(reader, text("ab")[:size]) == []
    assert reader.is_amid_frame
    assert events_of(reader, text("ab")[size:]) == ["ab"]
    assert not reader.is_amid_frame


HEADS = {
    "no mask": (b"\x81\x05", 1002),
    "a long ping": (b"\x89\xfe", 1002),
    "two bytes of length for one": (b"\x81\xfe\0\x7d" + bytes(4), 1002),
    "eight bytes of length for two": (b"\x82\xff" + (65535).to_bytes(8, "big") + bytes(4), 1002),
    "one byte too many": (b"\x82\xff" + (LIMIT + 1).to_bytes(8, "big") + bytes(4), 1009),
    "the largest length": (b"\x81\xff" + b"\xff" * 8 + bytes(4), 1009),
}


@pytest.mark.parametrize(("head", "code"), HEADS.values(), ids=HEADS)
def test_a_bad_head_is_refused_before_the_rest_comes(unmask: Unmask, head: bytes, code: int) -> None:
    for cut in range(1, len(head)):
        reader = MessageReader(LIMIT, unmask)
        with pytest.raises(ParseFailed) as caught:
            events_of(reader, head[:cut], head[cut:])
        assert caught.value.code == code


def test_an_unlimited_size_is_taken(unmask: Unmask) -> None:
    reader = MessageReader(2**80, unmask)
    assert events_of(reader, b"\x82\xff" + (2**60).to_bytes(8, "big") + bytes(4)) == []
    assert reader.is_amid_frame


@pytest.mark.parametrize("opcode", [TEXT, BINARY, CONTINUATION])
def test_a_length_takes_no_memory_before_it_has_come(unmask: Unmask, opcode: int) -> None:
    limit = 100_000_000
    reader = MessageReader(limit, unmask)
    begin = frame(TEXT, b"x", fin=False) if opcode == CONTINUATION else b""
    head = bytes([0x80 | opcode, 0xFF]) + (limit - 1).to_bytes(8, "big") + bytes(4)
    tracemalloc.start()
    assert events_of(reader, begin + head, b"x" * 1000) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("content", [b"x" * 1_000_000, "ü".encode() * 500_000], ids=["ascii", "above"])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_grows_as_it_comes(unmask: Unmask, opcode: int, content: bytes) -> None:
    data = frame(opcode, content)
    pieces = [data[begin : begin + 7777] for begin in range(0, len(data), 7777)]
    (event,) = events_of(MessageReader(len(content), unmask), *pieces)
    assert event == (content.decode() if opcode == TEXT else content)


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")


def test_compressed_messages_in_any_two_pieces(unmask: Unmask) -> None:
    packed = deflated(b"to be continued")
    stream = (
        frame(TEXT, deflated("größer".encode()), rsv=RSV1)
        + frame(BINARY, packed[:5], rsv=RSV1, fin=False)
        + frame(CONTINUATION, packed[5:])
        + frame(BINARY, deflated(b""), rsv=RSV1)
        + text("plain")
    )
    for cut in range(1, len(stream)):
        agreed = negotiate_deflate("permessage-deflate; client_no_context_takeover", LIMIT)
        assert agreed is not None
        reader = MessageReader(LIMIT, unmask)
        reader.allow_deflate(agreed[0])
        assert events_of(reader, *in_pieces(stream, cut)) == ["größer", b"to be continued", b"", "plain"]


@pytest.mark.parametrize(
    ("code", "reason", "payload"),
    [
        (None, "", b""),
        (1000, "", b"\x03\xe8"),
        (1012, "bye", b"\x03\xf4bye"),
        (4999, "ü" * 100, b"\x13\x87" + "ü".encode() * 61),
    ],
)
def test_a_close_frame_has_room_for_so_much_of_a_reason(code: int | None, reason: str, payload: bytes) -> None:
    assert encode_close_frame(code, reason) == bytes([0x80 | CLOSE, len(payload)]) + payload


def test_a_compressed_frame_is_refused_where_none_is_agreed(reader: MessageReader) -> None:
    with pytest.raises(ParseFailed):
        events_of(reader, frame(TEXT, deflated(b"x"), rsv=RSV1))


def test_a_control_frame_amid_a_message_leaves_it_as_it_is(reader: MessageReader) -> None:
    stream = frame(BINARY, b"1", fin=False) + frame(PONG, b"?") + frame(CONTINUATION, b"2")
    assert events_of(reader, stream, frame(BINARY, b"3")) == [Pong(b"?"), b"12", b"3"]
