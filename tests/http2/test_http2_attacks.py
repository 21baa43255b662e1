"""What a client may do to a connection costs little, ends that connection, and leaves others served."""

import itertools
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil
import pytest
from h2.errors import ErrorCodes
from hpack import Encoder, NeverIndexedHeaderTuple
from hyperframe.frame import PingFrame
from support.apps import Disconnected, Gate, Recorder, body, echo_body, hello, read_body, respond, start
from support.bounds import give_bounds
from support.embedded_server import Serve
from support.http2_client import INITIAL_WINDOW_SIZE, PREFACE, ConnectH2, H2Client
from support.raw_client import Connect
from support.waiting import wait_until

from threadserve.types import Receive, Scope, Send

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE = range(6)
PING, GOAWAY, WINDOW_UPDATE, CONTINUATION, ALTSVC = range(6, 11)
PRIORITY_UPDATE, UNKNOWN = 0x10, 0x40
ACK = END_STREAM = 0x1
END_HEADERS, PADDED = 0x4, 0x8
CALM = ErrorCodes.ENHANCE_YOUR_CALM
MEGABYTE = 1_000_000
# So many frames are sent at most.
FLOOD = 20_000
# What the clients and the server of a test, in the same process, may need more than before.
GROWTH = 24 * MEGABYTE

Frames = Iterator[bytes]
Flood = Callable[[H2Client], Frames]


def frame(kind: int, stream_id: int = 0, payload: bytes = b"", flags: int = 0) -> bytes:
    """A frame, whether it may be one or not."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


def number(value: int, size: int = 4) -> bytes:
    """A number as frames have it."""
    return value.to_bytes(size, "big")


def request_block(*fields: tuple[str, str], method: str = "GET", path: str = "/attack") -> bytes:
    """The block of a request, which leaves the tables as they are."""
    pseudo = [(":method", method), (":scheme", "http"), (":authority", "example.org"), (":path", path)]
    named = [NeverIndexedHeaderTuple(name.encode(), value.encode()) for name, value in [*pseudo, *fields]]
    return Encoder().encode(named)


GET = request_block()
POST = request_block(method="POST")
SHORT_POST = request_block(("content-length", "1"), method="POST")
MALFORMED = request_block(("Upper", "case"))


def get(stream_id: int) -> bytes:
    """A request without a body."""
    return frame(HEADERS, stream_id, GET, END_STREAM | END_HEADERS)


def post(stream_id: int, block: bytes = POST) -> bytes:
    """The head of a request with a body."""
    return frame(HEADERS, stream_id, block, END_HEADERS)


def settings(*pairs: tuple[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, payload=b"".join([number(code, 2) + number(value) for code, value in pairs]))


def flood(client: H2Client, frames: Frames, at_once: int) -> int:
    """Sends frames, so many at once, until the server says goodbye; returns how many there were."""
    # Its settings are answered before, not in the middle.
    client.synchronize()
    sent = 0
    while sent < FLOOD and not (client.goaways or client.is_closed):
        batch = list(itertools.islice(frames, at_once))
        try:
            client.send(b"".join(batch))
        except ConnectionError:
            break
        sent += len(batch)
        while select.select([client.socket], [], [], 0)[0] and client.read_some():
            pass
    return sent


def answers(client: H2Client, ping: bytes) -> bool:
    """Whether the server has answered a ping."""
    return any(isinstance(answer, PingFrame) and answer.opaque_data == ping for answer in client.frames[-100:])


def code_of(client: H2Client, *, pings: bool = True) -> ErrorCodes:
    """What the server says when it ends the connection, which it does before it answers a ping."""
    if pings:
        with suppress(ConnectionError):
            client.send(frame(PING, payload=b"the end?"))
    client.read_until(lambda: client.goaways or answers(client, b"the end?"))
    assert client.goaways, "the connection goes on"
    client.read_to_end()
    return ErrorCodes(client.goaways[-1].error_code)


def memory() -> int:
    """How much of it the process has."""
    return int(psutil.Process().memory_info().rss)


def check_growth(before: int, most: int = GROWTH) -> None:
    """Checks that the process does not keep more memory than that. The allocator may give back some of it late."""
    wait_until(lambda: memory() - before < most, f"no more than {most} bytes above {before} to be in use")


def in_turn(make: Callable[[int], bytes]) -> Flood:
    """The same on stream after stream."""
    return lambda client: (make(stream_id) for stream_id in itertools.count(1, 2))


def on_one(head: Callable[[int], bytes], rest: bytes) -> Flood:
    """The head of a request on stream 1, and the same frame behind it for ever."""
    return lambda client: itertools.chain([head(1)], itertools.repeat(rest))


def again(data: bytes) -> Flood:
    """The same frame for ever."""
    return lambda client: itertools.repeat(data)


async def wait_for_disconnect(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers when everything of the request is there; such a request as the attacks begin is not answered before."""
    if scope["path"] == "/attack":
        while (await receive())["type"] != "http.disconnect":
            pass
    await respond(send, scope["path"].encode())


CONTROL: dict[str, Flood] = {
    "ping": again(frame(PING, payload=b"8 bytes.")),
    "answers to no ping": again(frame(PING, payload=b"8 bytes.", flags=ACK)),
    "settings": again(settings()),
    "answers to no settings": again(frame(SETTINGS, flags=ACK)),
    "table size": again(settings((1, 2**32 - 1))),
    "table sizes": again(settings((1, 0)) + settings((1, 4096))),
    "window size": lambda client: (settings((4, size)) for size in itertools.cycle([0, 65535])),
    "unknown settings": lambda client: (
        settings(*[(code + first, 1) for code in range(32)]) for first in itertools.cycle(range(100, 60000, 32))
    ),
    "priority": again(frame(PRIORITY, 1, number(0) + b"\x10")),
    "priorities": in_turn(lambda stream_id: frame(PRIORITY, stream_id, number(0) + b"\x10")),
    "priority update": on_one(get, frame(PRIORITY_UPDATE, payload=number(1) + b"u=1")),
    "priority updates": in_turn(lambda stream_id: frame(PRIORITY_UPDATE, payload=number(stream_id) + b"u=1, i")),
    "long priority updates": again(frame(PRIORITY_UPDATE, payload=number(1) + b"u=1, " * 3000)),
    "window update": again(frame(WINDOW_UPDATE, payload=number(1))),
    "window update of a stream": on_one(get, frame(WINDOW_UPDATE, 1, number(1))),
    "empty data": on_one(post, frame(DATA, 1)),
    "empty data with padding": on_one(post, frame(DATA, 1, b"\xff" + bytes(255), PADDED)),
    "unknown frames": again(frame(UNKNOWN, payload=bytes(100))),
    "unknown frames of a stream": on_one(post, frame(UNKNOWN, 1)),
    "alternative services": again(frame(ALTSVC, payload=b"\0\0")),
    "goodbyes": on_one(get, frame(GOAWAY, payload=number(0) + number(0))),
}


@pytest.mark.parametrize("at_once", [1, 500], ids=["singly", "together"])
@pytest.mark.parametrize("name", CONTROL)
def test_flood_of_control_frames(serve: Serve, connect_h2: ConnectH2, name: str, at_once: int) -> None:
    server = serve(wait_for_disconnect)
    witness, attacker = connect_h2(server), connect_h2(server)
    assert witness.get("/before").body == b"/before"
    before = memory()
    flood(attacker, CONTROL[name](attacker), at_once)
    assert witness.get("/after").body == b"/after"
    assert code_of(attacker) == CALM
    check_growth(before)


RESETS: dict[str, Flood] = {
    "by the client": in_turn(lambda stream_id: get(stream_id) + frame(RST_STREAM, stream_id, number(8))),
    "of one stream": lambda client: itertools.chain([get(1)], itertools.repeat(frame(RST_STREAM, 1, number(8)))),
    "malformed": in_turn(lambda stream_id: frame(HEADERS, stream_id, MALFORMED, END_STREAM | END_HEADERS)),
    "longer than its length": in_turn(lambda stream_id: post(stream_id, SHORT_POST) + frame(DATA, stream_id, b"xx")),
    "shorter than its length": in_turn(
        lambda stream_id: post(stream_id, SHORT_POST) + frame(DATA, stream_id, flags=END_STREAM)
    ),
    "malformed trailers": in_turn(
        lambda stream_id: post(stream_id) + frame(HEADERS, stream_id, GET, END_STREAM | END_HEADERS)
    ),
    "window overflow": in_turn(lambda stream_id: get(stream_id) + frame(WINDOW_UPDATE, stream_id, number(2**31 - 1))),
    "data behind the end": in_turn(lambda stream_id: get(stream_id) + frame(DATA, stream_id, b"x")),
    "data behind a reset": lambda client: itertools.chain(
        [post(1) + frame(RST_STREAM, 1, number(8))], itertools.repeat(frame(DATA, 1, b"x"))
    ),
    "more data behind the end": on_one(get, frame(DATA, 1, b"x")),
    "head behind the end": in_turn(lambda stream_id: get(stream_id) + get(stream_id)),
    "more heads behind the end": lambda client: itertools.repeat(get(1)),
    "too many streams": in_turn(post),
    "depends on itself": in_turn(
        lambda stream_id: frame(HEADERS, stream_id, number(stream_id) + b"\0" + GET, END_STREAM | END_HEADERS | 0x20)
    ),
}
# Where the connection may end at once, with another error.
OR_ERROR = {
    "depends on itself": ErrorCodes.PROTOCOL_ERROR,
    "data behind the end": ErrorCodes.STREAM_CLOSED,
    "data behind a reset": ErrorCodes.STREAM_CLOSED,
    "more data behind the end": ErrorCodes.STREAM_CLOSED,
    "head behind the end": ErrorCodes.STREAM_CLOSED,
    "more heads behind the end": ErrorCodes.STREAM_CLOSED,
}


@pytest.mark.parametrize("at_once", [1, 500], ids=["singly", "together"])
@pytest.mark.parametrize("name", RESETS)
def test_flood_of_resets(
    serve: Serve, connect_h2: ConnectH2, monkeypatch: pytest.MonkeyPatch, name: str, at_once: int
) -> None:
    """CVE-2023-44487 and CVE-2025-8671: they count as resets, whatever else they are.

    What is for a stream that has ended may have been under way, and counts as what carries nothing for an application.
    """
    if "data behind" not in name and "more" not in name:
        give_bounds(monkeypatch, max_control_frames=10**9)
    recorder = Recorder(wait_for_disconnect)
    server = serve(recorder)
    witness, attacker = connect_h2(server), connect_h2(server)
    assert witness.get("/before").body == b"/before"
    before = memory()
    flood(attacker, RESETS[name](attacker), at_once)
    assert witness.get("/after").body == b"/after"
    assert code_of(attacker) in (CALM, OR_ERROR.get(name, CALM))
    check_growth(before)
    assert len(recorder.scopes) <= 2 + 1001
    if name == "by the client" and at_once > 1:
        # What was reset in the same packet is never begun, but for where a packet is cut.
        assert len(recorder.scopes) <= 2 + 20


@pytest.mark.parametrize("at_once", [1, 99], ids=["singly", "together"])
def test_reset_streams_have_their_place_until_their_applications_end(
    serve: Serve, connect_h2: ConnectH2, at_once: int
) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/held":
            await gate.wait()
        await respond(send, scope["path"].encode())

    server = serve(app)
    client = connect_h2(server)
    streams: list[int] = []
    while len(streams) < 99:
        opened = [client.open("/held") for _ in range(at_once)]
        client.synchronize()
        for stream in opened:
            client.reset(stream)
        streams += opened
    gate.wait_for_arrivals(99)
    assert client.get("/last").body == b"/last"
    kept = client.open("/held")
    gate.wait_for_arrivals(100)
    assert client.get("/refused").reset == ErrorCodes.REFUSED_STREAM
    assert connect_h2(server).get("/other").body == b"/other"
    gate.open()
    assert client.read(kept).body == b"/held"
    assert client.get("/served").body == b"/served"


def test_streams_beyond_the_limit_are_refused(serve: Serve, connect_h2: ConnectH2) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send, scope["path"].encode())

    recorder = Recorder(app)
    client = connect_h2(serve(recorder))
    served = [client.open(f"/{number}") for number in range(100)]
    refused = [client.open("/refused") for _ in range(50)]
    assert [client.read(stream).reset for stream in refused] == [ErrorCodes.REFUSED_STREAM] * 50
    gate.open()
    assert [client.read(stream).body for stream in served] == [f"/{number}".encode() for number in range(100)]
    assert client.get("/again").body == b"/again"
    assert len(recorder.scopes) == 101
    assert client.settings[3] == 100


def test_streams_whose_bodies_never_come_leave_others_served(serve: Serve, connect_h2: ConnectH2) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(Disconnected):
            await echo_body(scope, receive, send)

    server = serve(app)
    attacker = connect_h2(server)
    for _ in range(100):
        attacker.open(method="POST", ends=False)
    assert attacker.get().reset == ErrorCodes.REFUSED_STREAM
    assert connect_h2(server).post("/", b"body").body == b"body"


# What is legitimate.


def test_window_update_for_every_frame_of_a_large_download(serve: Serve, connect_h2: ConnectH2) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        for _ in range(50):
            await body(send, bytes(MEGABYTE), more=True)
        await body(send)

    client = connect_h2(serve(app))
    stream, taken = client.open(), 0
    response = client.response(stream)
    while not response.is_complete:
        assert client.read_some()
        taken += len(response.body)
        response.body = b""
    assert taken == 50 * MEGABYTE


def test_window_update_for_every_small_frame(serve: Serve, connect_h2: ConnectH2) -> None:
    """As a client of events does that gives back what it takes at once."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        for _ in range(3000):
            await body(send, bytes(1500), more=True)
        await body(send)

    client = connect_h2(serve(app))
    assert len(client.get().body) == 3000 * 1500


def test_fewer_resets_than_are_too_many(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(wait_for_disconnect))
    for _ in range(150):
        client.reset(client.open("/attack"))
    assert client.get("/served").body == b"/served"
    assert not client.goaways


def test_budgets_are_renewed(serve: Serve, connect_h2: ConnectH2, monkeypatch: pytest.MonkeyPatch) -> None:
    give_bounds(monkeypatch, budget_seconds=0.5, max_control_frames=100, max_resets=100)
    client = connect_h2(serve(hello))
    for _ in range(3):
        for _ in range(80):
            client.send(frame(PRIORITY, 1, number(0) + b"\x10"))
        assert client.get("/served").body == b"/served"
        # Two ticks, and the time itself: what counts is the loop's clock, which stands still while nothing runs.
        time.sleep(1.6)


# Header blocks.


def continuation(payload: bytes) -> Flood:
    """A head that goes on and on."""
    return lambda client: itertools.chain([frame(HEADERS, 1, GET)], itertools.repeat(frame(CONTINUATION, 1, payload)))


def bomb(references: int) -> bytes:
    """A field of 4 kB, and references to it (CVE-2016-6581)."""
    entry = b"\x40\x01a" + b"\x7f" + bytes([(3900 - 127) & 0x7F | 0x80, (3900 - 127) >> 7]) + b"v" * 3900
    return GET + entry + b"\xbe" * references


BLOCKS: dict[str, tuple[Flood, ErrorCodes]] = {
    "continuation": (continuation(b"\x90" * 1000), CALM),
    "short continuation": (continuation(b"\x90"), CALM),
    "empty continuation": (continuation(b""), CALM),
    "large continuation": (continuation(b"\x90" * 16384), CALM),
    "empty head": (on_one(lambda stream_id: frame(HEADERS, stream_id), frame(CONTINUATION, 1)), CALM),
    "bomb": (in_turn(lambda stream_id: frame(HEADERS, stream_id, bomb(8000), END_STREAM | END_HEADERS)), CALM),
    "many fields": (
        in_turn(lambda stream_id: frame(HEADERS, stream_id, GET + b"\x90" * 16000, END_STREAM | END_HEADERS)),
        CALM,
    ),
    "unknown index": (again(frame(HEADERS, 1, b"\xff\xff\x7f", END_HEADERS)), ErrorCodes.COMPRESSION_ERROR),
    "endless number": (again(frame(HEADERS, 1, b"\xff" * 1000, END_HEADERS)), ErrorCodes.COMPRESSION_ERROR),
    "table too large": (again(frame(HEADERS, 1, b"\x3f\xe2\x1f", END_HEADERS)), ErrorCodes.COMPRESSION_ERROR),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_block_that_is_too_much(serve: Serve, connect_h2: ConnectH2, name: str) -> None:
    """CVE-2024-27316 among them."""
    recorder = Recorder(hello)
    server = serve(recorder)
    witness, attacker = connect_h2(server), connect_h2(server)
    make, code = BLOCKS[name]
    before = memory()
    flood(attacker, make(attacker), 1)
    assert witness.get("/after").body == b"/after"
    assert code_of(attacker) == code
    assert len(recorder.scopes) == 1
    check_growth(before)


def test_many_tiny_fields_behind_a_closed_window(serve: Serve, connect_h2: ConnectH2) -> None:
    """CVE-2026-49975: what a few bytes expand to is not kept for as long as the client likes."""
    recorder = Recorder(hello)
    server = serve(recorder)
    witness, attacker = connect_h2(server), connect_h2(server, {INITIAL_WINDOW_SIZE: 0})
    assert witness.get("/before").status == 200
    before = memory()
    for stream_id in range(1, 201, 2):
        # 3,000 fields, each of them one byte and 36 bytes as the limits count.
        attacker.send(frame(HEADERS, stream_id, GET + b"\x95" * 3000, END_STREAM | END_HEADERS))
    attacker.synchronize()
    check_growth(before)
    assert {attacker.response(stream_id).status for stream_id in range(1, 201, 2)} == {431}
    assert witness.get("/after").body == b"/after"
    assert len(recorder.scopes) == 2


def test_large_fields_by_reference_on_many_streams(serve: Serve, connect_h2: ConnectH2) -> None:
    """Cookies are joined, so that what was one object is copied: no further than the limit of a head."""
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send)

    server = serve(app)
    client = connect_h2(server)
    cookie = b"\x60\x7f" + bytes([(3900 - 127) & 0x7F | 0x80, (3900 - 127) >> 7]) + b"v" * 3900
    client.send(frame(HEADERS, 1, GET + cookie, END_STREAM | END_HEADERS))
    client.next_stream = 3
    client.synchronize()
    before = memory()
    for _ in range(99):
        client.send(frame(HEADERS, client.next_stream, GET + b"\xbe" * 14, END_STREAM | END_HEADERS))
        client.next_stream += 2
    gate.wait_for_arrivals(100)
    check_growth(before)
    gate.open()
    assert {client.read(stream_id).status for stream_id in range(1, 200, 2)} == {200}


def test_head_that_never_ends(serve: Serve, connect_h2: ConnectH2) -> None:
    server = serve(hello, timeout_request_header=0.3)
    attacker = connect_h2(server)
    began = time.monotonic()
    attacker.answers = False
    attacker.send(frame(HEADERS, 1, GET, END_STREAM))
    assert code_of(attacker, pings=False) == CALM
    assert time.monotonic() - began > 0.25
    assert connect_h2(server).get("/after").body == b"/after"


def test_head_that_never_ends_beside_a_stream(serve: Serve, connect_h2: ConnectH2) -> None:
    """Neither that stream nor frames of the head put the end off."""
    server = serve(wait_for_disconnect, timeout_request_header=0.5)
    attacker = connect_h2(server)
    attacker.answers = False
    attacker.send(get(1) + frame(HEADERS, 3, GET, END_STREAM))
    for _ in range(20):
        attacker.send(frame(CONTINUATION, 3, b""))
        if select.select([attacker.socket], [], [], 0.1)[0]:
            attacker.read_some()
        if attacker.goaways:
            break
    assert code_of(attacker, pings=False) == CALM
    assert connect_h2(server).get("/after").body == b"/after"


@pytest.mark.parametrize("kind", [DATA, HEADERS, SETTINGS, PING, UNKNOWN])
def test_head_of_a_frame_and_then_silence(
    serve: Serve, connect_h2: ConnectH2, monkeypatch: pytest.MonkeyPatch, kind: int
) -> None:
    """It is an idle connection, which ends."""
    give_bounds(monkeypatch, linger_seconds=0.1)
    attacker = connect_h2(serve(hello, timeout_keep_alive=0.3, timeout_request_header=0.3))
    assert attacker.get().status == 200
    attacker.answers = False
    attacker.send(frame(kind, 3, bytes(8))[:9])
    assert code_of(attacker, pings=False) == ErrorCodes.NO_ERROR


def test_frame_that_drips_does_not_put_the_end_off(serve: Serve, connect_h2: ConnectH2) -> None:
    attacker = connect_h2(serve(hello, timeout_keep_alive=0.3))
    attacker.get()
    attacker.send(frame(HEADERS, 3, bytes(16384))[:9])
    for _ in range(200):
        attacker.send(b"\x90")
        if select.select([attacker.socket], [], [], 0.05)[0]:
            break
    assert code_of(attacker, pings=False) == ErrorCodes.NO_ERROR


# Frames that may not come.

FORBIDDEN: dict[str, tuple[bytes, tuple[ErrorCodes, ...]]] = {
    "large frame": (frame(DATA, 1, bytes(16385)), (ErrorCodes.FRAME_SIZE_ERROR,)),
    "largest frame": (frame(UNKNOWN, 0, bytes(16384))[:3].replace(b"\0\x40\0", b"\xff\xff\xff") + bytes(6),
                      (ErrorCodes.FRAME_SIZE_ERROR,)),
    "large settings": (frame(SETTINGS, payload=bytes(6 * 33)), (CALM,)),
    "largest settings": (frame(SETTINGS, payload=bytes(6 * 2730)), (CALM,)),
    "settings of five bytes": (frame(SETTINGS, payload=bytes(5)), (ErrorCodes.FRAME_SIZE_ERROR,)),
    "settings of a stream": (frame(SETTINGS, 1, bytes(6)), (ErrorCodes.PROTOCOL_ERROR,)),
    "settings answered with some": (frame(SETTINGS, 0, bytes(6), ACK), (ErrorCodes.FRAME_SIZE_ERROR,)),
    "settings with a large window": (settings((4, 2**31)), (ErrorCodes.FLOW_CONTROL_ERROR,)),
    "settings with a small frame size": (settings((5, 16383)), (ErrorCodes.PROTOCOL_ERROR,)),
    "settings with a large frame size": (settings((5, 2**24)), (ErrorCodes.PROTOCOL_ERROR,)),
    "settings with a push of two": (settings((2, 2)), (ErrorCodes.PROTOCOL_ERROR,)),
    "ping of seven bytes": (frame(PING, payload=bytes(7)), (ErrorCodes.FRAME_SIZE_ERROR,)),
    "ping of a stream": (frame(PING, 1, bytes(8)), (ErrorCodes.PROTOCOL_ERROR,)),
    "push": (get(1) + frame(PUSH_PROMISE, 1, number(2) + GET, END_HEADERS), (ErrorCodes.PROTOCOL_ERROR,)),
    "priority of six bytes": (frame(PRIORITY, 1, bytes(6)), (ErrorCodes.FRAME_SIZE_ERROR,)),
    "priority of no stream": (frame(PRIORITY, 0, bytes(5)), (ErrorCodes.PROTOCOL_ERROR,)),
    "priority update of a stream": (frame(PRIORITY_UPDATE, 1, number(1)), (ErrorCodes.PROTOCOL_ERROR,)),
    "short priority update": (frame(PRIORITY_UPDATE, 0, bytes(3)), (ErrorCodes.PROTOCOL_ERROR,)),
    "reset of no stream": (frame(RST_STREAM, 0, number(8)), (ErrorCodes.PROTOCOL_ERROR,)),
    "reset of an idle stream": (frame(RST_STREAM, 1, number(8)), (ErrorCodes.PROTOCOL_ERROR,)),
    "reset of three bytes": (get(1) + frame(RST_STREAM, 1, bytes(3)), (ErrorCodes.FRAME_SIZE_ERROR,)),
    "goodbye of a stream": (frame(GOAWAY, 1, bytes(8)), (ErrorCodes.PROTOCOL_ERROR,)),
    "goodbye of seven bytes": (frame(GOAWAY, 0, bytes(7)), (ErrorCodes.FRAME_SIZE_ERROR,)),
    "window update of 0": (frame(WINDOW_UPDATE, 0, number(0)), (ErrorCodes.PROTOCOL_ERROR,)),
    "window update of a stream of 0": (get(1) + frame(WINDOW_UPDATE, 1, number(0)), (ErrorCodes.PROTOCOL_ERROR,)),
    "window update of an idle stream": (frame(WINDOW_UPDATE, 1, number(1)), (ErrorCodes.PROTOCOL_ERROR,)),
    "window update of three bytes": (frame(WINDOW_UPDATE, 0, bytes(3)), (ErrorCodes.FRAME_SIZE_ERROR,)),
    "window overflow": (frame(WINDOW_UPDATE, 0, number(2**31 - 1)), (ErrorCodes.FLOW_CONTROL_ERROR,)),
    "window overflow by settings": (
        get(1) + frame(WINDOW_UPDATE, 1, number(2**31 - 1 - 65535)) + settings((4, 65536)),
        (ErrorCodes.FLOW_CONTROL_ERROR,),
    ),
    "data of no stream": (frame(DATA, 0, b"x"), (ErrorCodes.PROTOCOL_ERROR,)),
    "data of an idle stream": (frame(DATA, 1, b"x"), (ErrorCodes.PROTOCOL_ERROR, ErrorCodes.STREAM_CLOSED)),
    "data that is padding and more": (post(1) + frame(DATA, 1, b"\x05abc", PADDED), (ErrorCodes.PROTOCOL_ERROR,)),
    "head of no stream": (frame(HEADERS, 0, GET, END_STREAM | END_HEADERS), (ErrorCodes.PROTOCOL_ERROR,)),
    "even stream": (get(2), (ErrorCodes.PROTOCOL_ERROR,)),
    "lower stream": (get(5) + get(3), (ErrorCodes.PROTOCOL_ERROR, ErrorCodes.STREAM_CLOSED)),
    "ping within a head": (frame(HEADERS, 1, GET) + frame(PING, 0, bytes(8)), (ErrorCodes.PROTOCOL_ERROR,)),
    "data within a head": (frame(HEADERS, 1, GET) + frame(DATA, 1, b"x"), (ErrorCodes.PROTOCOL_ERROR,)),
    "unknown frame within a head": (frame(HEADERS, 1, GET) + frame(UNKNOWN), (ErrorCodes.PROTOCOL_ERROR,)),
    "reset within a head": (frame(HEADERS, 1, GET) + frame(RST_STREAM, 1, number(8)), (ErrorCodes.PROTOCOL_ERROR,)),
    "head within a head": (frame(HEADERS, 1, GET) + get(3), (ErrorCodes.PROTOCOL_ERROR,)),
    "another's continuation": (
        frame(HEADERS, 1, GET) + frame(CONTINUATION, 3, b"", END_HEADERS),
        (ErrorCodes.PROTOCOL_ERROR,),
    ),
    "continuation of nothing": (frame(CONTINUATION, 1, GET, END_HEADERS), (ErrorCodes.PROTOCOL_ERROR,)),
    "continuation of what has ended": (get(1) + frame(CONTINUATION, 1, b"", END_HEADERS), (ErrorCodes.PROTOCOL_ERROR,)),
    "trailers that do not end": (post(1) + post(1), (ErrorCodes.PROTOCOL_ERROR,)),
}  # fmt: skip


@pytest.mark.parametrize("name", FORBIDDEN)
def test_frame_that_may_not_come(serve: Serve, connect_h2: ConnectH2, name: str) -> None:
    data, codes = FORBIDDEN[name]
    server = serve(wait_for_disconnect)
    attacker = connect_h2(server)
    attacker.synchronize()
    attacker.send(data)
    assert code_of(attacker) in codes
    assert connect_h2(server).get("/after").body == b"/after"


FORBIDDEN_OF_A_STREAM: dict[str, tuple[bytes, tuple[ErrorCodes, ...]]] = {
    "data behind the end": (get(1) + frame(DATA, 1, b"x"), (ErrorCodes.STREAM_CLOSED,)),
    "trailers behind the end": (get(1) + get(1), (ErrorCodes.STREAM_CLOSED,)),
    "name of no length": (
        frame(HEADERS, 1, GET + b"\x00\x00\x01x", END_STREAM | END_HEADERS),
        (ErrorCodes.PROTOCOL_ERROR,),
    ),
    "indexed name of no length": (
        frame(HEADERS, 1, GET + b"\x40\x00\x00", END_STREAM | END_HEADERS),
        (ErrorCodes.PROTOCOL_ERROR,),
    ),
    "window overflow": (get(1) + frame(WINDOW_UPDATE, 1, number(2**31 - 1)), (ErrorCodes.FLOW_CONTROL_ERROR,)),
}


@pytest.mark.parametrize("name", FORBIDDEN_OF_A_STREAM)
def test_frame_that_ends_its_stream(serve: Serve, connect_h2: ConnectH2, name: str) -> None:
    """Or the connection, which a server may do."""
    data, codes = FORBIDDEN_OF_A_STREAM[name]
    server = serve(wait_for_disconnect)
    attacker = connect_h2(server)
    attacker.send(data)
    response = attacker.response(1)
    attacker.read_until(lambda: response.reset is not None or attacker.goaways)
    assert (ErrorCodes(attacker.goaways[0].error_code) if attacker.goaways else response.reset) in codes
    if not attacker.goaways:
        attacker.next_stream = 3
        assert attacker.get("/same").body == b"/same"
    assert connect_h2(server).get("/after").body == b"/after"


def test_first_frame_is_not_settings(serve: Serve, connect: Connect) -> None:
    client = connect(serve(hello))
    client.send(PREFACE + frame(PING, payload=bytes(8)))
    answer = client.read_all()
    assert frame(GOAWAY, payload=number(0) + number(ErrorCodes.PROTOCOL_ERROR))[3:] in answer


@pytest.mark.parametrize("at", [16, 18, 20, 23])
def test_preface_that_is_none(serve: Serve, connect: Connect, at: int) -> None:
    """HTTP/1.1 answers it."""
    recorder = Recorder(hello)
    server = serve(recorder)
    client = connect(server)
    client.send(PREFACE[:at] + b"Host: example.org\r\n\r\n")
    assert client.read_all().startswith(b"HTTP/1.1 ")
    assert not recorder.scopes


# Clients that take nothing, or next to it.


class Large:
    """Streams 16 MB, and counts what `send` has let go on."""

    def __init__(self) -> None:
        self.taken = 0
        self.calls = 0
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/large":
            await respond(send, scope["path"].encode())
            return
        with self._lock:
            self.calls += 1
        await start(send)
        for number in range(1024):
            await body(send, bytes(16384), more=number < 1023)
            with self._lock:
                self.taken += 16384


@pytest.mark.parametrize("window", [0, 1, 65535])
def test_large_responses_that_nobody_takes(serve: Serve, connect_h2: ConnectH2, window: int) -> None:
    app = Large()
    server = serve(app)
    attacker = connect_h2(server, {INITIAL_WINDOW_SIZE: window}, takes=False)
    before = memory()
    for _ in range(100):
        attacker.open("/large")
    wait_until(lambda: app.calls == 100, "100 calls")
    attacker.synchronize()
    assert connect_h2(server).get("/after").body == b"/after"
    assert app.taken < 100 * 5 * 16384
    check_growth(before)


def test_window_of_one_byte(serve: Serve, connect_h2: ConnectH2) -> None:
    """Every byte that is asked for costs the client a frame."""
    app = Large()
    server = serve(app)
    attacker = connect_h2(server, {INITIAL_WINDOW_SIZE: 1})
    stream = attacker.open("/large")
    with pytest.raises(ConnectionError):
        attacker.read(stream)
    assert attacker.goaways[0].error_code == CALM
    assert len(attacker.response(stream).body) < 2000
    assert connect_h2(server).get("/after").body == b"/after"


def test_body_byte_by_byte_leaves_others_served(serve: Serve, connect_h2: ConnectH2) -> None:
    """Such a body is one; it has others wait no longer than their turn."""
    server = serve(echo_body)
    slow, other = connect_h2(server), connect_h2(server)
    stream = slow.open(method="POST", ends=False)
    for _ in range(20):
        slow.send(frame(DATA, stream, b"x") * 1000)
        assert other.post("/", b"other").body == b"other"
    slow.send(frame(DATA, stream, flags=END_STREAM))
    assert slow.read(stream).body == b"x" * 20_000


def test_client_that_reads_no_answers_is_held_up(serve: Serve, connect_h2: ConnectH2) -> None:
    """It gets no further than what the sockets hold: requests whose answers nobody takes are not read."""
    app = Recorder(respond_at_length)
    server = serve(app)
    attacker = connect_h2(server, {INITIAL_WINDOW_SIZE: 2**31 - 1}, takes=False)
    attacker.widen(2**30)
    before = memory()
    sent = 0
    while sent < FLOOD and select.select([], [attacker.socket], [], 0.5)[1]:
        attacker.send(get(attacker.next_stream))
        attacker.next_stream += 2
        sent += 1
    assert connect_h2(server).get("/after").status == 200
    assert len(app.scopes) < 1000
    check_growth(before, 2 * GROWTH)


async def respond_at_length(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with a great deal at once."""
    await read_body(receive)
    await respond(send, bytes(256 * 1024))
