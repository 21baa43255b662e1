"""Which response is sent first (RFC 9218): what is queued is known before the client's windows open."""

import pytest
from hyperframe.frame import DataFrame, PingFrame, SettingsFrame
from support.apps import body, respond, start
from support.embedded_server import EmbeddedServer, Serve
from support.http2_client import INITIAL_WINDOW_SIZE, ConnectH2, H2Client

from threadserve.types import Receive, Scope, Send

PART = 16384
PARTS = 4
LARGE_WINDOW = 2**30


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with a few frames; `/tall` with more than may wait."""
    count = 4 * PARTS if scope["path"] == "/tall" else PARTS
    await respond(send, bytes(count * PART))


def hold(client: H2Client, *priorities: str | None) -> list[int]:
    """Opens streams with these priorities, in this order; returns when their responses wait for the windows."""
    streams = [client.open("/", [("priority", each)] if each is not None else []) for each in priorities]
    client.read_until(lambda: all(client.response(stream).status for stream in streams))
    client.synchronize()
    assert not any(client.response(stream).body for stream in streams)
    return streams


def let_go(client: H2Client, streams: list[int]) -> str:
    """Opens the windows; returns which stream each frame was of, as letters in the order of the streams."""
    client.send_frame(SettingsFrame(0, settings={INITIAL_WINDOW_SIZE: LARGE_WINDOW}))
    for stream in streams:
        client.read(stream)
    frames = [frame for frame in client.frames if isinstance(frame, DataFrame) and frame.data]
    assert {len(frame.data) for frame in frames} == {PART}
    return "".join(chr(ord("a") + streams.index(frame.stream_id)) for frame in frames)


def held(server: EmbeddedServer, connect_h2: ConnectH2) -> H2Client:
    """A client whose streams' windows are closed, and whose connection's is not."""
    client = connect_h2(server, {INITIAL_WINDOW_SIZE: 0}, takes=False)
    client.widen(LARGE_WINDOW)
    return client


ORDERS: list[tuple[list[str | None], str]] = [
    # The more urgent first, whichever came first.
    (["u=7", "u=5", "u=1"], "ccccbbbbaaaa"),
    (["u=0", "u=7", "u=3"], "aaaaccccbbbb"),
    (["u=6, i", "u=2, i"], "bbbbaaaa"),
    # As urgent ones: one after the other, or by turns.
    (["u=3", "u=3", "u=3"], "aaaabbbbcccc"),
    (["u=3, i", "u=3, i", "u=3, i"], "abcabcabcabc"),
    (["i", "i=?1"], "abababab"),
    # Who says nothing shares; who says anything has the rest by default.
    ([None, None, None], "abcabcabcabc"),
    (["", ""], "aaaabbbb"),
    (["u=3", ""], "aaaabbbb"),
    (["i", None], "abababab"),
    (["i=?0", "u=3"], "aaaabbbb"),
    # What is malformed is as good as not there, and so is what nobody knows.
    (["u=9", "u=2"], "bbbbaaaa"),
    (["u=-1", "u=2"], "bbbbaaaa"),
    (["u=high", "u=4"], "aaaabbbb"),
    (["U=0", "u=2"], "bbbbaaaa"),
    (["u", "u=2"], "bbbbaaaa"),
    (["u=1;x=2, i;y", "u=1, i"], "abababab"),
    (["u=5, z=(1 2), u=1", "u=2"], "aaaabbbb"),
    (["i, i=?0", "u=3"], "aaaabbbb"),
    (["é=1, u=4", "u=3"], "bbbbaaaa"),
    # One that is sent as a whole takes turns with those that share.
    (["u=3", "u=3, i"], "abababab"),
    (["u=3", "u=3, i", "u=3, i"], "abacabacbcbc"),
    (["u=3", "u=3", "u=3, i"], "acacacacbbbb"),
]


@pytest.mark.parametrize(("priorities", "order"), ORDERS)
def test_order(serve: Serve, connect_h2: ConnectH2, priorities: list[str | None], order: str) -> None:
    client = held(serve(app), connect_h2)
    assert let_go(client, hold(client, *priorities)) == order


def update(stream: int, value: str) -> bytes:
    """A PRIORITY_UPDATE frame."""
    payload = stream.to_bytes(4, "big") + value.encode()
    return len(payload).to_bytes(3, "big") + b"\x10" + bytes(5) + payload


UPDATES: list[tuple[str, str, str]] = [
    ("b", "u=1", "bbbbaaaacccc"),
    ("a", "u=7", "bbbbccccaaaa"),
    ("c", "u=3, i", "acacacacbbbb"),
    ("c", "u=0, i", "ccccaaaabbbb"),
    # Malformed in part or as a whole: what it does not say is as by default.
    ("c", "u=99", "aaaabbbbcccc"),
    ("c", "\xff\0", "aaaabbbbcccc"),
    ("b", "", "aaaabbbbcccc"),
    ("b", "i, u=x", "ababababcccc"),
]


@pytest.mark.parametrize("is_alone", [True, False], ids=["alone", "together"])
@pytest.mark.parametrize(("which", "value", "order"), UPDATES)
def test_update(serve: Serve, connect_h2: ConnectH2, which: str, value: str, order: str, is_alone: bool) -> None:
    """The frame comes in a packet of its own, or behind another."""
    server = serve(app)
    witness = connect_h2(server)
    client = held(server, connect_h2)
    streams = hold(client, "u=3", "u=3", "u=3")
    ping = b"" if is_alone else PingFrame(0, opaque_data=b"8 bytes.").serialize()
    client.send(ping + update(streams["abc".index(which)], value))
    # The loop has taken up what came before these.
    for _ in range(2):
        witness.get()
    assert let_go(client, streams) == order


def test_updates_of_streams_that_are_not_open_are_let_go(serve: Serve, connect_h2: ConnectH2) -> None:
    client = held(serve(app), connect_h2)
    client.send(update(2, "u=0") + update(99, "u=7") + update(0, "u=1"))
    streams = hold(client, "u=3", "u=2")
    assert let_go(client, streams) == "bbbbaaaa"
    client.send(update(streams[0], "u=1"))
    client.synchronize()
    assert not client.goaways


def test_update_while_a_response_is_sent(serve: Serve, connect_h2: ConnectH2) -> None:
    """The next frame goes by it."""
    client = connect_h2(serve(app), {INITIAL_WINDOW_SIZE: LARGE_WINDOW}, takes=False)
    streams = [client.open("/tall", [("priority", "u=3")]) for _ in range(2)]
    client.read_until(lambda: sum(len(client.response(stream).body) for stream in streams) == 65535)
    client.send(update(streams[1], "u=1"))
    client.synchronize()
    seen = len(client.frames)
    client.widen(LARGE_WINDOW)
    for stream in streams:
        client.read(stream)
    order = [frame.stream_id for frame in client.frames[seen:] if isinstance(frame, DataFrame) and frame.data]
    assert order == sorted(order, reverse=True)
    assert set(order) == set(streams)


def test_urgent_one_passes_those_that_are_waiting(serve: Serve, connect_h2: ConnectH2) -> None:
    """One that comes when the connection's window is used up."""
    client = connect_h2(serve(app), {INITIAL_WINDOW_SIZE: LARGE_WINDOW}, takes=False)
    slow = [client.open("/tall", [("priority", "u=5")]) for _ in range(3)]
    client.read_until(lambda: sum(len(client.response(stream).body) for stream in slow) == 65535)
    urgent = client.open("/", [("priority", "u=0")])
    client.read_until(lambda: client.response(urgent).status)
    client.synchronize()
    client.widen(PARTS * PART)
    assert client.read(urgent).body == bytes(PARTS * PART)
    assert sum(len(client.response(stream).body) for stream in slow) == 65535
    client.widen(LARGE_WINDOW)
    assert {len(client.read(stream).body) for stream in slow} == {4 * PARTS * PART}


def test_stream_whose_window_is_closed_does_not_hold_up_less_urgent_ones(serve: Serve, connect_h2: ConnectH2) -> None:
    client = held(serve(app), connect_h2)
    urgent, other = hold(client, "u=0", "u=7")
    client.widen(LARGE_WINDOW, other)
    assert client.read(other).body == bytes(PARTS * PART)
    client.widen(LARGE_WINDOW, urgent)
    assert client.read(urgent).body == bytes(PARTS * PART)


def test_shares_are_even_while_applications_go_on(serve: Serve, connect_h2: ConnectH2) -> None:
    """Streams that are longer than what may wait, made in small parts."""

    async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        for _ in range(400):
            await body(send, bytes(1000), more=True)
        await body(send)

    client = connect_h2(serve(streaming), {INITIAL_WINDOW_SIZE: 2**20}, takes=False)
    streams = [client.open() for _ in range(4)]
    client.read_until(lambda: sum(len(client.response(stream).body) for stream in streams) == 65535)
    client.synchronize()
    for number in range(10):
        total = 65535 + (number + 1) * 100_000
        client.widen(100_000)
        client.read_until(lambda: sum(len(client.response(stream).body) for stream in streams) == total)  # noqa: B023
        client.synchronize()
    sizes = [len(client.response(stream).body) for stream in streams]
    assert max(sizes) - min(sizes) < 65535 + 2 * PART
