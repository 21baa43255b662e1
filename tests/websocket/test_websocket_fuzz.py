"""Random streams of frames: whatever comes, in whatever pieces, is answered as RFC 6455 says, and does no harm."""

import asyncio
from collections.abc import Iterable
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.memory_transport import MemoryTransport, opened, serving
from support.waiting import DEADLINE
from support.websocket_client import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, echo, frame, opening

from threadserve.config import Config

LIMIT = 1000
QUEUE = 3
OFFER = "Sec-WebSocket-Extensions: permessage-deflate"

payloads = st.binary(max_size=300)
masks = st.binary(min_size=4, max_size=4)
texts = st.text(max_size=80)


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes, Any]:
    """A good message in one frame or in several, with control frames between them, and what it says."""
    content = draw(payloads | texts)
    payload = content.encode() if isinstance(content, str) else content
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
    parts = [payload[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
    data = b""
    for index, part in enumerate(parts):
        opcode = CONTINUATION if index else TEXT if isinstance(content, str) else BINARY
        data += frame(opcode, part, fin=index == len(parts) - 1, mask=draw(masks))
        if draw(st.booleans()):
            data += frame(draw(st.sampled_from([PING, PONG])), draw(st.binary(max_size=5)))
    return data, content


@st.composite
def any_frames(draw: st.DrawFn) -> bytes:
    """A frame of any kind, good or bad."""
    return frame(
        draw(st.sampled_from([CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG, 3, 11])),
        draw(payloads | st.sampled_from([b"", b"\x03\xe8", b"\x03\xe8bye", b"\xff", b"x" * (LIMIT + 1)])),
        fin=draw(st.booleans()),
        rsv=draw(st.sampled_from([0, 0, 0, 4, 2, 1])),
        mask=draw(st.none() | masks),
    )


@st.composite
def pieces(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    """A stream in pieces."""
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    return [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True) if begin < end]


async def converse(arriving: Iterable[bytes], offer: tuple[str, ...] = ()) -> bytes:
    """What the server sends behind its handshake when these pieces arrive, followed by the client's end."""

    def post(*args: Any) -> None:
        raise AssertionError("nothing comes from another thread")

    loop = serving(Config(echo, ws_max_size=LIMIT, ws_max_queue=QUEUE), post=post)
    transport = opened(loop, SwitchingTransport)
    async with asyncio.timeout(DEADLINE):
        await transport.deliver(opening("/", *offer))
        for piece in arriving:
            await transport.deliver(piece)
        await transport.deliver_eof()
        await asyncio.gather(*(call.task for call in loop.context.registry.calls if call.task))
    assert not loop.context.registry.connections
    head, _, frames = bytes(transport.written).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    return frames


class SwitchingTransport(MemoryTransport):
    """A transport whose protocol may change."""

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol


def split(data: bytes) -> list[tuple[int, bytes]]:
    """The frames that the server sent, each with its first byte; raises where they are none."""
    frames = []
    while data:
        size, start = data[1], 2
        assert size < 127
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        assert len(data) >= start + size
        frames.append((data[0], data[start : start + size]))
        data = data[start + size :]
    return frames


def check(frames: list[tuple[int, bytes]]) -> None:
    """Checks that frames are messages and pongs, and at the end at most one close frame, with a code for the wire."""
    opcodes = [first & 0x0F for first, _ in frames]
    assert all(first & 0x80 and not first & 0x30 for first, _ in frames)
    assert set(opcodes) <= {TEXT, BINARY, PONG, CLOSE}
    assert CLOSE not in opcodes[:-1]
    for first, payload in frames:
        if first == 0x80 | TEXT:
            payload.decode()
        elif first == 0x80 | CLOSE and payload:
            assert int.from_bytes(payload[:2], "big") in {1000, 1002, 1007, 1009} or len(payload) == 2
            payload[2:].decode()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(messages(), max_size=6), st.data())
def test_good_messages_are_echoed_whatever_the_pieces(good: list[tuple[bytes, Any]], data: st.DataObject) -> None:
    arriving = data.draw(pieces(b"".join(message for message, _ in good)))
    frames = split(asyncio.run(converse(arriving)))
    check(frames)
    answers = [
        payload.decode() if first & 0x0F == TEXT else payload for first, payload in frames if first & 0x0F != PONG
    ]
    assert answers == [content for _, content in good]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(any_frames() | messages().map(lambda good: good[0]) | st.binary(max_size=20), max_size=6), st.data())
@example([frame(TEXT, b"a", fin=False), frame(CLOSE, b"\x03\xe8")], None)
def test_anything_else_does_no_harm(stream: list[bytes], data: st.DataObject | None) -> None:
    joined = b"".join(stream)
    arriving = [joined] if data is None else data.draw(pieces(joined))
    check(split(asyncio.run(converse(arriving))))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(any_frames() | messages().map(lambda good: good[0]), max_size=6), st.data())
def test_anything_with_compression_does_no_harm(stream: list[bytes], data: st.DataObject) -> None:
    arriving = data.draw(pieces(b"".join(stream)))
    for first, _ in split(asyncio.run(converse(arriving, (OFFER,)))):
        assert first & 0x80
        assert not first & 0x30
