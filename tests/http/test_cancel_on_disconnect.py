"""Calls that are cancelled when their clients leave, where that is asked for."""

import pytest
from support.apps import Gate, Outcome, read_body, respond
from support.cancelled_app import CANCEL, Waiting
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.logged import statuses_logged
from support.raw_client import Connect, RawClient, post, request
from support.waiting import wait_until

from threadserve.types import Receive, Scope, Send

GOING = {"FIN": RawClient.close, "RST": RawClient.reset}
# For an application that goes on in spite of its client's leaving to be cancelled, if that were a mistake.
LONG = 1.5


@pytest.fixture
def parser() -> str:
    """One of them: it has nothing to do with a client's leaving."""
    return "auto"


@pytest.mark.parametrize("path", ["/", "/begun"])
def test_call_is_cancelled_when_its_client_resets_the_connection(
    serve: Serve, connect: Connect, loop: str, path: str
) -> None:
    app = Waiting()
    client = connect(serve(app, loop=loop, cancel_on_disconnect=True))
    client.send(request("GET", path))
    app.gate.wait_for_arrivals()
    client.reset()
    assert app.ended.get() == "cancelled"
    app.cleaned.get()


def test_call_is_cancelled_when_its_client_has_closed_the_connection(
    serve: Serve, connect: Connect, loop: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What it sees first is no more than the end of what the client sends."""
    caplog.set_level("INFO", "threadserve.access")
    app = Waiting()
    client = connect(serve(app, loop=loop, cancel_on_disconnect=True))
    client.send(request("GET", "/closed"))
    app.gate.wait_for_arrivals()
    client.close()
    assert app.ended.get() == "cancelled"
    app.cleaned.get()
    assert statuses_logged(caplog, "/closed") == ["499"]


@pytest.mark.parametrize("path", ["/", "/begun"])
def test_client_that_only_sends_no_more_is_answered(serve: Serve, connect: Connect, loop: str, path: str) -> None:
    app = Waiting()
    server = serve(app, loop=loop, cancel_on_disconnect=True)
    client = connect(server)
    client.send(post(path, b"abc"))
    app.gate.wait_for_arrivals()
    client.half_close()
    assert connect(server).is_silent(LONG)
    app.gate.open()
    assert app.ended.get() == "not cancelled"
    if path == "/begun":
        assert client.read_response().body == b"begunwaited"
    else:
        response = client.read_response()
        assert (response.status, response.body) == (200, b"waited")
        assert [interim.status for interim in response.interim] == [100]


def test_pipeline_of_a_client_that_sends_no_more_is_answered(serve: Serve, connect: Connect) -> None:
    client = connect(serve(Waiting(), cancel_on_disconnect=True))
    client.send(request("GET", "/fine") * 3)
    client.half_close()
    assert [client.read_response().body for _ in range(3)] == [b"True"] * 3
    assert client.is_closed()


def test_client_that_goes_in_the_middle_of_its_body(serve: Serve, connect: Connect) -> None:
    ended = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        gate.arrived += 1
        try:
            await gate.wait()
        finally:
            ended.set()

    gate = Gate()
    client = connect(serve(app, cancel_on_disconnect=True))
    client.send(request("POST", "/", "Content-Length: 6", body=b"abc"))
    gate.wait_for_arrivals(2)
    client.close()
    ended.get()


@pytest.mark.parametrize("is_default", [True, False])
def test_application_chooses_for_each_request(serve: Serve, connect: Connect, is_default: bool) -> None:
    app = Waiting()
    server = serve(app, cancel_on_disconnect=is_default)
    assert connect(server).get("/fine").body == str(is_default).encode()
    client = connect(server)
    client.send(request("GET", "/declines" if is_default else "/chooses"))
    app.gate.wait_for_arrivals()
    client.reset()
    if is_default:
        assert connect(server).is_silent(LONG)
        app.gate.open()
    assert app.ended.get() == ("not cancelled" if is_default else "cancelled")


def test_calls_go_on_unless_it_is_asked_for(serve: Serve, connect: Connect) -> None:
    app = Waiting()
    server = serve(app)
    client = connect(server)
    client.send(request())
    app.gate.wait_for_arrivals()
    client.reset()
    assert connect(server).is_silent(LONG)
    app.gate.open()
    assert app.ended.get() == "not cancelled"


@pytest.mark.parametrize("leave", GOING.values(), ids=GOING)
def test_application_may_choose_when_its_client_has_gone(serve: Serve, connect: Connect, leave: object) -> None:
    app = Waiting()
    server = serve(app)
    client = connect(server)
    client.send(request("GET", "/late"))
    app.gate.wait_for_arrivals()
    assert callable(leave)
    leave(client)
    # The loop has seen what came before this.
    assert connect(server).get("/fine").body == b"False"
    app.gate.open()
    assert app.ended.get() == "cancelled"


def test_what_goes_on_behind_a_complete_response_is_not_cancelled(serve: Serve, connect: Connect) -> None:
    app = Waiting()
    server = serve(app, cancel_on_disconnect=True)
    client = connect(server)
    assert client.get("/answered").body == b"answered"
    app.gate.wait_for_arrivals()
    client.reset()
    assert connect(server).is_silent(LONG)
    app.gate.open()
    assert app.ended.get() == "not cancelled"


def test_application_that_cleans_up_is_not_cancelled_again(serve: Serve, connect: Connect) -> None:
    """Though it sends, and its client's leaving is seen twice."""
    cleaning, cleaned = Gate(), Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        try:
            await receive()
            await Gate().wait()
        finally:
            await cleaning.wait()
            await respond(send, b"to nobody")
            cleaned.set()

    server = serve(app, cancel_on_disconnect=True)
    client = connect(server)
    client.send(post("/", b"abc"))
    client.half_close()
    cleaning.wait_for_arrivals()
    cleaning.open()
    cleaned.get()


@pytest.mark.parametrize("message", [{}, {"cancel": 1}, {"cancel": None}])
def test_choice_that_is_none_is_a_clear_error(
    serve: Serve, connect: Connect, error_log: ErrorLog, message: dict[str, object]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": CANCEL, **message})

    assert connect(serve(app)).get().status == 500
    if message:
        error_log.expect(TypeError, "neither True nor False")
    else:
        error_log.expect(KeyError, "cancel")


def test_cancelled_calls_leave_nothing_in_flight(serve: Serve, connect: Connect) -> None:
    server = serve(Waiting(), cancel_on_disconnect=True, limit_concurrency=1)
    for _ in range(5):
        client = connect(server)
        client.send(request())
        # Not waited for: the task may not have begun.
        client.reset()
    wait_until(lambda: connect(server).get("/fine").status == 200, "the requests to be through")
