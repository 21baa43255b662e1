"""The same bytes, however they are split, make the same requests, bodies and rejections over every parser.

There is no form that one parser takes and another refuses: the list of such forms is empty.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, note, reject, settings
from hypothesis import strategies as st
from support.apps import Disconnected, Recorder, echo
from support.embedded_server import EmbeddedServer, servers
from support.error_log import ErrorLog
from support.memory_transport import TURNS, converse
from support.raw_client import RawClient
from support.responses import parse_responses
from support.streams import GoodRequest, cuts, good_requests, streams

from threadserve.http.bounds import Bounds
from threadserve.types import Receive, Scope, Send

PARSERS = ("auto", "h11", "httptools")
# How many examples are rejected over sockets depends on how fast either side is.
QUICK = settings(
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
    ]
)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Echoes the request if it is complete."""
    try:
        await echo(scope, receive, send)
    except Disconnected:
        return


class Conversation(NamedTuple):
    """What came of a connection: the requests that the application got as a whole, and the answers."""

    requests: list[tuple[Any, ...]]
    answers: list[tuple[int, bytes]]


def conversation(recorder: Recorder, written: bytes) -> Conversation:
    """Reads the answers strictly; a refusal may name its reason in other words."""
    complete = recorder.scopes[: len(recorder.bodies)]
    requests = [
        (
            scope["method"],
            scope["path"],
            scope["raw_path"],
            scope["query_string"],
            scope["http_version"],
            scope["headers"],
            body,
        )
        for scope, body in zip(complete, recorder.bodies, strict=True)
    ]
    responses = parse_responses(written, tuple(scope["method"] for scope in complete))
    return Conversation(requests, [(one.status, one.body if one.status == 200 else b"") for one in responses])


def hold(parser: str, pieces: list[bytes]) -> Conversation:
    recorder = Recorder(app)
    return conversation(recorder, asyncio.run(converse(recorder, parser, pieces)))


@QUICK
@given(st.data())
def test_all_parsers_and_all_splits_agree(data: st.DataObject) -> None:
    stream = data.draw(streams)
    pieces = data.draw(cuts(stream))
    expected = hold("h11", [stream])
    assert hold("auto", [stream]) == expected
    assert hold("httptools", [stream]) == expected
    assert hold("h11", pieces) == expected
    assert hold("auto", pieces) == expected
    assert hold("httptools", pieces) == expected


@QUICK
@given(st.data())
def test_good_requests_arrive_as_they_were_sent(data: st.DataObject) -> None:
    sent: list[GoodRequest] = data.draw(st.lists(good_requests(), min_size=1, max_size=5))
    pieces = data.draw(cuts(b"".join(one.data for one in sent)))
    answered = sent[: 1 + next((at for at, one in enumerate(sent) if one.closes), len(sent))]
    for parser_name in PARSERS:
        note(parser_name)
        check_arrival(hold(parser_name, pieces), answered)


def check_arrival(got: Conversation, answered: list[GoodRequest]) -> None:
    """Fails unless just these requests came, and were answered."""
    assert len(got.requests) == len(answered)
    assert [status for status, _ in got.answers] == [200] * len(answered)
    for one, (method, _, raw_path, query, _, headers, body), (_, answer) in zip(
        answered, got.requests, got.answers, strict=True
    ):
        assert (method, body) == (one.method, one.body)
        path, _, rest = one.target.encode().partition(b"?")
        assert (raw_path, query) == (path, rest)
        pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in one.headers]
        assert [tuple(pair) for pair in headers] == pairs
        assert answer == b"" if method == "HEAD" else json.loads(answer)["body"].encode("latin-1") == one.body


@settings(QUICK, max_examples=300)
@given(st.data())
def test_nothing_stands_still_however_little_is_held(data: st.DataObject) -> None:
    """With so little room, reading pauses and goes on at every place of a request."""
    bounds = Bounds(read_ahead_bytes=data.draw(st.integers(0, 60)), body_buffer_bytes=data.draw(st.integers(0, 20)))
    turns = data.draw(st.integers(0, 2 * TURNS))

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await app(scope, receive, send)

    sent: list[GoodRequest] = data.draw(st.lists(good_requests(), min_size=1, max_size=5))
    pieces = data.draw(cuts(b"".join(one.data for one in sent)))
    answered = 1 + next((at for at, one in enumerate(sent) if one.closes), len(sent) - 1)
    for parser_name in PARSERS:
        note(parser_name)
        recorder = Recorder(slow)
        got = conversation(recorder, asyncio.run(converse(recorder, parser_name, pieces, bounds)))
        assert [request[-1] for request in got.requests] == [one.body for one in sent[:answered]]
        assert [status for status, _ in got.answers] == [200] * answered


@pytest.fixture
def all_servers(error_log: ErrorLog) -> Iterator[list[tuple[Recorder, EmbeddedServer]]]:
    recorders = [Recorder(app) for _ in PARSERS]
    with servers(threads=1, lifespan="off") as start:
        yield [(recorder, start(recorder, http=name)) for recorder, name in zip(recorders, PARSERS, strict=True)]


@settings(QUICK, max_examples=25)
@given(st.data())
def test_all_parsers_agree_over_sockets(
    all_servers: list[tuple[Recorder, EmbeddedServer]], data: st.DataObject
) -> None:
    pieces = data.draw(cuts(data.draw(streams)))
    outcomes = []
    for recorder, server in all_servers:
        recorder.clear()
        client = RawClient(server.host, server.port)
        try:
            for piece in pieces:
                client.send(piece)
            client.half_close()
            outcomes.append(conversation(recorder, client.read_all()))
        except TimeoutError:
            raise
        except OSError:
            # A piece came after a response that closes the connection, which resets it: what arrives then is up to TCP.
            reject()
        finally:
            client.close()
    assert outcomes[0] == outcomes[1] == outcomes[2]
