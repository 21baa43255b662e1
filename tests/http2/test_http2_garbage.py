"""Connections and requests leave little to the garbage collector, for which free-threaded Python stops every thread."""

import gc

from support.apps import echo_body
from support.embedded_server import Serve
from support.http2_client import ConnectH2

MANY = 30
# The client of the test, which is in the same process, leaves something too.
FEW = 15


def test_requests_leave_no_garbage(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(echo_body))
    client.post("/", b"first")
    gc.collect()
    gc.disable()
    try:
        for _ in range(MANY):
            assert client.post("/", b"x").body == b"x"
            assert client.get().body == b""
        assert gc.collect() < MANY * FEW
    finally:
        gc.enable()


def test_connections_leave_no_garbage(serve: Serve, connect_h2: ConnectH2) -> None:
    server = serve(echo_body)
    gc.collect()
    gc.disable()
    try:
        for _ in range(MANY):
            client = connect_h2(server)
            assert client.post("/", b"x").body == b"x"
            client.close()
        assert gc.collect() < MANY * FEW
    finally:
        gc.enable()
