"""The codec's two forms: the same byte for byte, whatever comes and in whatever pieces."""

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.python_forms import python_form_of
from support.websocket_client import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame, text
from wsproto.frame_protocol import ParseFailed

from threadserve.websocket import codec
from threadserve.websocket.frame_heads import MAX_HEAD_BYTES, parse_frame_head
from threadserve.websocket.masking import make_table_unmask

LIMIT = 2000
TABLES = make_table_unmask()

payloads = st.binary(max_size=40) | st.text(max_size=20).map(str.encode) | st.integers(100, 2100).map(b"a".__mul__)
frames = st.builds(
    lambda opcode, payload, fin, rsv, mask: frame(opcode, payload, fin=fin, rsv=rsv, mask=mask),
    st.sampled_from([TEXT, TEXT, BINARY, BINARY, CONTINUATION, PING, PONG, CLOSE, 3]),
    payloads,
    st.sampled_from([True, True, True, False]),
    st.sampled_from([0, 0, 0, 4, 1]),
    st.binary(min_size=4, max_size=4) | st.sampled_from([bytes(4), b"\0\x80\0\xff"]),
)
odd_heads = st.builds(
    lambda first, second, rest: bytes([first, second]) + rest,
    st.sampled_from([0x81, 0x82, 0xC1, 0x01]),
    st.sampled_from([0x05, 0xFE, 0xFF, 0x7E, 0x80]),
    st.binary(max_size=14) | st.sampled_from([bytes(14), b"\0\x7d" + bytes(12), b"\xff" * 12]),
)
streams = st.lists(frames | odd_heads | st.binary(max_size=12), max_size=6).map(b"".join)


@pytest.fixture(scope="module")
def python_form() -> Any:
    """The Python form of the module of which the compiled form serves."""
    return python_form_of(codec)


def observe(form: Any, pieces: Iterable[bytes], pieces_per_look: int) -> Iterator[object]:
    """Yield what can be seen of a buffer that takes these pieces, looked at after every few of them."""
    buffer = form.FrameBuffer(LIMIT, TABLES)
    for number, piece in enumerate(pieces, 1):
        buffer.feed(piece)
        yield buffer.pending, buffer.is_empty()
        while number % pieces_per_look == 0 and buffer.pending:
            message = taken(buffer)
            yield message, buffer.pending, buffer.is_empty()
            if message is not None or not buffer.pending:
                continue
            yield buffer.peek(1), buffer.peek(MAX_HEAD_BYTES)
            try:
                head = parse_frame_head(buffer.peek(MAX_HEAD_BYTES))
            except ParseFailed:
                return
            if head is None or head[2] > LIMIT:
                break
            yield buffer.require(head[1] + head[2]), buffer.pending
            if buffer.pending:
                yield buffer.take_payload(head[1], head[2]), buffer.pending, buffer.is_empty()


def taken(buffer: Any) -> object:
    """A message, or what is wrong with it."""
    try:
        return buffer.take_message()
    except UnicodeDecodeError as error:
        return error.reason, error.start, error.end


def pieces_of(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    cuts = sorted(cuts)
    return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def typed(values: Iterable[object]) -> list[object]:
    return [(type(value), value) if not isinstance(value, tuple) else tuple(typed(value)) for value in values]


@settings(max_examples=600, deadline=None)
@given(streams, st.data())
def test_buffers_of_both_forms_do_the_same(python_form: Any, stream: bytes, data: st.DataObject) -> None:
    pieces = pieces_of(stream, data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    pieces_per_look = data.draw(st.sampled_from([1, 1, 2, 3]))
    assert typed(observe(codec, pieces, pieces_per_look)) == typed(observe(python_form, pieces, pieces_per_look))


@pytest.mark.parametrize(
    "stream",
    [
        text("grüße") + frame(BINARY, b"12345678901") + frame(PING, b"?") + text(""),
        text("a" * 33) + frame(TEXT, b"ab\xff") + frame(BINARY, b"\xff" * 9),
        frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"abc") + text("x"),
        b"\x81\xfe\0\x7e" + bytes(4) + b"\xe2\x82\xac" * 42 + b"\x82\xfe",
    ],
)
def test_buffers_of_both_forms_do_the_same_for_any_two_cuts(python_form: Any, stream: bytes) -> None:
    for cuts in combinations(range(len(stream) + 1), 2):
        pieces = pieces_of(stream, cuts)
        assert typed(observe(codec, pieces, 1)) == typed(observe(python_form, pieces, 1))


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 31, 32, 33, 125, 126, 65535, 65536, 1_000_000])
@pytest.mark.parametrize("first", [0x81, 0x82, 0xC1, 0x8A])
def test_frames_of_both_forms_are_the_same(python_form: Any, first: int, size: int) -> None:
    payload = b"\0\xffab"[: size % 5] + b"x" * (size - min(size, size % 5))
    for form in (codec, python_form):
        assert form.encode_frame(first, payload) == frame(first & 0x0F, payload, mask=None, rsv=first >> 4 & 7)
        assert form.encode_frame_head(first, size) + payload == form.encode_frame(first, payload)


class Text(str):
    """A text of a class of its own, as templates make them."""

    __slots__ = ()


@given(st.text(max_size=300) | st.builds(Text, st.text(max_size=20)) | st.integers(0, 70_000).map("é".__mul__))
def test_texts_of_both_forms_are_the_same(python_form: Any, content: str) -> None:
    assert (
        codec.encode_text_frame(content)
        == python_form.encode_text_frame(content)
        == frame(TEXT, content.encode(), mask=None)
    )


def test_a_text_that_has_no_encoding_is_refused_by_both_forms(python_form: Any) -> None:
    for form in (codec, python_form):
        with pytest.raises(UnicodeEncodeError):
            form.encode_text_frame("\ud800")


def test_a_frame_is_taken_without_head_and_mask() -> None:
    buffer = codec.FrameBuffer(LIMIT, TABLES)
    buffer.feed(text("abc"))
    assert buffer.peek(100) == text("abc")
    assert buffer.require(len(text("abc")))
    assert buffer.take_payload(6, 3) == b"abc"
    assert buffer.is_empty()
