"""Clients that shut down their sending side after a request: they still want the whole answer."""

import logging

import pytest
from support.apps import Gate, Outcome, Recorder, body, echo_body, hello, read_body, start
from support.embedded_server import Serve
from support.raw_client import Connect, post, request
from support.responses import parse_responses

from threadserve.types import Receive, Scope, Send


def test_answer_that_begins_after_the_half_close(serve: Serve, connect: Connect, loop: str) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        data = await read_body(receive)
        await gate.wait()
        await start(send)
        for _ in range(20):
            await body(send, data * 10_000, more=True)
        await body(send, b"end")

    client = connect(serve(app, loop=loop))
    client.send(post("/", b"abc"))
    gate.wait_for_arrivals()
    client.half_close()
    assert client.is_silent(0.1)
    gate.open()
    assert client.read_response().body == b"abc" * 200_000 + b"end"
    assert client.is_closed()


def test_answer_that_is_streaming_at_the_half_close(serve: Serve, connect: Connect, loop: str) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"first", more=True)
        await gate.wait()
        await body(send, b"last")

    client = connect(serve(app, loop=loop))
    client.send(request())
    assert client.reader.head().status == 200
    client.half_close()
    gate.wait_for_arrivals()
    gate.open()
    assert client.reader.chunks() == b"firstlast"
    assert client.reader.fields() == []
    assert client.is_closed()


def test_every_request_in_the_pipeline_is_answered(serve: Serve, connect: Connect, loop: str) -> None:
    client = connect(serve(echo_body, loop=loop))
    client.send(b"".join(post("/", b"%d" % number) for number in range(50)))
    client.half_close()
    responses = parse_responses(client.read_all())
    assert [response.body for response in responses] == [b"%d" % number for number in range(50)]


def test_half_close_without_a_request_closes(serve: Serve, connect: Connect, loop: str) -> None:
    client = connect(serve(hello, loop=loop))
    client.half_close()
    assert client.read_all() == b""


def test_half_close_of_an_idle_connection_closes(serve: Serve, connect: Connect, loop: str) -> None:
    client = connect(serve(hello, loop=loop))
    assert client.get("/a").body == b"/a"
    client.half_close()
    assert client.read_all() == b""


@pytest.mark.parametrize("head", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_half_close_in_the_middle_of_a_head_never_reaches_the_application(
    serve: Serve, connect: Connect, caplog: pytest.LogCaptureFixture, loop: str, head: bytes
) -> None:
    recorder = Recorder(hello)
    client = connect(serve(recorder, loop=loop))
    client.send(head)
    client.half_close()
    assert [response.status for response in parse_responses(client.read_all())] in ([], [400])
    assert recorder.scopes == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_half_closed_client_that_then_goes_is_noticed(serve: Serve, connect: Connect, loop: str) -> None:
    gate, ended = Gate(), Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await start(send)
        try:
            for _ in range(1600):
                await body(send, b"x" * 65536, more=True)
        except OSError:
            ended.set("refused")
        else:
            ended.set("taken")

    client = connect(serve(app, loop=loop))
    client.send(request())
    gate.wait_for_arrivals()
    client.half_close()
    client.reset()
    gate.open()
    assert ended.get() == "refused"
