"""Requests that are at their end when they are taken up: all of their frames have come at once."""

from collections.abc import Callable

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, Frame, HeadersFrame, RstStreamFrame, WindowUpdateFrame
from support.apps import Gate, Recorder, echo_body, hello
from support.embedded_server import Serve
from support.http2_client import ConnectH2, H2Client

from threadserve.types import ASGIApp, Receive, Scope, Send

MOST = 2**31 - 1
POST = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
GET = [(":method", "GET"), *POST[1:]]
ODD = [(":method", "ODD"), *POST[1:]]
MALFORMED = [*GET, ("connection", "close")]


def head(client: H2Client, stream_id: int, fields: list[tuple[str, str]], *, ends: bool = False) -> list[Frame]:
    return client.block_frames(stream_id, fields, ends=ends)


def too_long(client: H2Client, stream_id: int) -> list[Frame]:
    return [*head(client, stream_id, [*POST, ("content-length", "1")]), DataFrame(stream_id, data=b"xxxx")]


def bad_trailers(client: H2Client, stream_id: int) -> list[Frame]:
    first = head(client, stream_id, POST)
    block = client.encoder.encode([(b"X", b"y")])
    return [*first, HeadersFrame(stream_id, data=block, flags=["END_STREAM", "END_HEADERS"])]


def reset(client: H2Client, stream_id: int) -> list[Frame]:
    return [*head(client, stream_id, POST), RstStreamFrame(stream_id, error_code=8)]


def overflow(client: H2Client, stream_id: int) -> list[Frame]:
    return [*head(client, stream_id, POST), WindowUpdateFrame(stream_id, window_increment=MOST)]


def overflow_of_a_whole_request(client: H2Client, stream_id: int) -> list[Frame]:
    return [*head(client, stream_id, GET, ends=True), WindowUpdateFrame(stream_id, window_increment=MOST)]


def overflow_of_a_malformed_one(client: H2Client, stream_id: int) -> list[Frame]:
    return [*head(client, stream_id, MALFORMED, ends=True), WindowUpdateFrame(stream_id, window_increment=MOST)]


def overflow_of_one_not_implemented(client: H2Client, stream_id: int) -> list[Frame]:
    return [*head(client, stream_id, ODD, ends=True), WindowUpdateFrame(stream_id, window_increment=MOST)]


def data_behind_the_end(client: H2Client, stream_id: int) -> list[Frame]:
    return [*head(client, stream_id, ODD, ends=True), DataFrame(stream_id, data=b"x")]


FLIGHTS = [
    too_long,
    bad_trailers,
    reset,
    overflow,
    overflow_of_a_whole_request,
    overflow_of_a_malformed_one,
    overflow_of_one_not_implemented,
    data_behind_the_end,
]
Flight = Callable[[H2Client, int], list[Frame]]


def behind(gate: Gate) -> ASGIApp:
    """An application whose requests wait."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await hello(scope, receive, send)

    return app


@pytest.mark.parametrize("flight", FLIGHTS)
def test_it_takes_nobodys_place(serve: Serve, connect_h2: ConnectH2, flight: Flight) -> None:
    recorder = Recorder(echo_body)
    server = serve(recorder, limit_concurrency=2)
    client = connect_h2(server)
    client.synchronize()
    for _ in range(4):
        stream_id = client.next_stream
        client.next_stream += 2
        client.send_frame(*flight(client, stream_id))
        client.synchronize()
    response = client.post("/", b"good")
    assert (response.status, response.body) == (200, b"good")
    assert len(recorder.scopes) <= 1
    assert client.goaways == []


@pytest.mark.parametrize("flight", FLIGHTS)
def test_others_of_the_connection_go_on(serve: Serve, connect_h2: ConnectH2, flight: Flight) -> None:
    gate = Gate()
    client = connect_h2(serve(behind(gate)))
    waiting = client.open("/waiting")
    gate.wait_for_arrivals()
    stream_id = client.next_stream
    client.next_stream += 2
    client.send_frame(*flight(client, stream_id))
    client.synchronize()
    gate.open()
    assert client.read(waiting).body == b"/waiting"
    assert client.response(stream_id).reset in (None, *ErrorCodes)


def test_many_before_the_limit_is_known_are_refused_alone(serve: Serve, connect_h2: ConnectH2) -> None:
    gate = Gate()
    client = connect_h2(serve(behind(gate)))
    client.answers = False
    streams = [client.open(f"/{number}") for number in range(400)]
    gate.wait_for_arrivals(100)
    gate.open()
    responses = [client.read(stream) for stream in streams]
    assert sum(response.status == 200 for response in responses) >= 100
    assert {response.reset for response in responses if response.status != 200} <= {ErrorCodes.REFUSED_STREAM}
    assert client.goaways == []
