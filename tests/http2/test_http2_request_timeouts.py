"""Applications that do not come back, over HTTP/2."""

import asyncio

import pytest
from h2.errors import ErrorCodes
from support.apps import body, hello, start
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.http2_client import ConnectH2

from threadserve.types import Receive, Scope, Send

TIMEOUT = 0.2
OVERDUE = f"An ASGI call has not come back for {TIMEOUT} seconds: "


async def hanging(scope: Scope, receive: Receive, send: Send) -> None:
    """Hangs, but for /fine."""
    if scope["path"] == "/fine":
        await hello(scope, receive, send)
        return
    if scope["path"] == "/begun":
        await start(send)
        await body(send, b"begun", more=True)
    await asyncio.Event().wait()


@pytest.mark.parametrize("ends", [True, False])
def test_call_that_hangs_is_answered_504(serve: Serve, connect_h2: ConnectH2, error_log: ErrorLog, ends: bool) -> None:
    client = connect_h2(serve(hanging, timeout_request=TIMEOUT))
    response = client.read(client.open("/hangs", method="POST", ends=ends))
    assert (response.status, response.body, response.is_complete) == (504, b"Gateway Timeout", True)
    error_log.expect(text=f"{OVERDUE}POST /hangs (0 s). It is answered 504, and is cancelled at:\n")
    assert client.get("/fine").body == b"/fine"


def test_stream_ends_where_the_response_of_a_call_that_hangs_has_begun(
    serve: Serve, connect_h2: ConnectH2, error_log: ErrorLog
) -> None:
    client = connect_h2(serve(hanging, timeout_request=TIMEOUT))
    response = client.read(client.open("/begun"))
    assert (response.status, response.body, response.reset) == (200, b"begun", ErrorCodes.INTERNAL_ERROR)
    error_log.expect(text="GET /begun (0 s). It is broken off in its response, and is cancelled at:\n")
    assert client.get("/fine").body == b"/fine"
