"""Calls that are cancelled when their clients reset their streams, or end the connection."""

import pytest
from support.cancelled_app import Waiting
from support.embedded_server import Serve
from support.http2_client import ConnectH2
from support.logged import statuses_logged


def test_call_is_cancelled_when_its_stream_is_reset(
    serve: Serve, connect_h2: ConnectH2, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "threadserve.access")
    app = Waiting()
    client = connect_h2(serve(app, cancel_on_disconnect=True))
    stream_id = client.open("/reset")
    app.gate.wait_for_arrivals()
    client.reset(stream_id)
    assert app.ended.get() == "cancelled"
    app.cleaned.get()
    assert statuses_logged(caplog, "/reset") == ["499"]
    assert client.get("/fine").body == b"True"


@pytest.mark.parametrize("path", ["/", "/begun"])
def test_call_is_cancelled_when_its_connection_ends(serve: Serve, connect_h2: ConnectH2, path: str) -> None:
    app = Waiting()
    client = connect_h2(serve(app, cancel_on_disconnect=True))
    client.open(path)
    app.gate.wait_for_arrivals()
    client.close()
    assert app.ended.get() == "cancelled"


@pytest.mark.parametrize("path", ["/declines", "/answered"])
def test_call_goes_on(serve: Serve, connect_h2: ConnectH2, path: str) -> None:
    app = Waiting()
    client = connect_h2(serve(app, cancel_on_disconnect=True))
    stream_id = client.open(path)
    app.gate.wait_for_arrivals()
    client.reset(stream_id)
    client.synchronize()
    app.gate.open()
    assert app.ended.get() == "not cancelled"


def test_application_chooses_to_be_cancelled(serve: Serve, connect_h2: ConnectH2) -> None:
    app = Waiting()
    client = connect_h2(serve(app))
    stream_id = client.open("/chooses")
    app.gate.wait_for_arrivals()
    client.reset(stream_id)
    assert app.ended.get() == "cancelled"
