"""What every request uses, on free-threaded Python: no thread has to wait for another to count references to it."""

import asyncio
import sys
from pathlib import Path

import pytest
from support.apps import respond
from support.embedded_server import Serve
from support.raw_client import RawClient
from support.server_process import ServerProcess

from threadserve.http.exchange import Exchange
from threadserve.http1.connection import H1Connection
from threadserve.runtime.forms import get_form
from threadserve.runtime.gil import is_free_threaded_build
from threadserve.types import Receive, Scope, Send

USED: dict[str, object] = {
    "asyncio.Task": asyncio.Task,
    "Exchange.receive": Exchange.receive,
    "Exchange.on_return": Exchange.on_return,
    "H1Connection.data_received": H1Connection.data_received,
}
# Tells whether a method of the loop's transports is counted.
LOOP_APP = """
import sys
import uvloop.loop

async def app(scope, receive, send):
    write = uvloop.loop.UVStream.write
    before = sys.getrefcount(write)
    more = [write] * 1000
    text = b"not counted" if sys.getrefcount(write) == before else b"counted"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text})
"""

# Tells which constants of its own are counted.
CONSTANTS_APP = """
import sys

def calculate(number):
    def inner():
        return number % 1000003 + 2.5
    return inner() if number not in (123456, 654321) else b"some bytes"

async def app(scope, receive, send):
    inner = next(each for each in calculate.__code__.co_consts if hasattr(each, "co_consts"))
    constants = [each for each in (*calculate.__code__.co_consts, *inner.co_consts) if not hasattr(each, "co_consts")]
    constants += [part for each in constants if isinstance(each, tuple) for part in each]
    counted = []
    for constant in constants:
        before = sys.getrefcount(constant)
        more = [constant] * 1000
        if sys.getrefcount(constant) != before:
            counted.append(constant)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{len(constants)} {counted}".encode()})
"""

pytestmark = pytest.mark.skipif(
    not is_free_threaded_build() or get_form() != "compiled",
    reason="an ordinary build shares counts without harm, and Python exempts its own functions itself",
)


def is_counted(thing: object) -> bool:
    before = sys.getrefcount(thing)
    more = [thing] * 1000
    return sys.getrefcount(more[0]) != before


async def tell_what_is_counted(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, " ".join(name for name, thing in USED.items() if is_counted(thing)).encode())


def test_counting_is_seen() -> None:
    assert is_counted(object())


def test_what_a_request_uses_is_not_counted_on_threads_that_have_not_imported_it(serve: Serve) -> None:
    server = serve(tell_what_is_counted, threads=2)
    client = RawClient(server.host, server.port)
    assert client.get().body == b""
    client.socket.close()


@pytest.mark.parametrize("threads", [1, 2])
def test_what_a_request_uses_of_uvloop_is_not_counted(tmp_path: Path, threads: int) -> None:
    (tmp_path / "main.py").write_text(LOOP_APP)
    with ServerProcess("main:app", "--threads", str(threads), cwd=tmp_path) as server:
        client = RawClient(server.host, server.port)
        assert client.get().body == b"not counted"
        client.socket.close()
        assert server.stop() == 0


@pytest.mark.parametrize("writes_bytecode", ["", "1"])
def test_constants_are_not_counted_whether_they_come_from_bytecode_or_not(tmp_path: Path, writes_bytecode: str) -> None:
    (tmp_path / "main.py").write_text(CONSTANTS_APP)
    for _ in range(2):
        with ServerProcess("main:app", env={"PYTHONDONTWRITEBYTECODE": writes_bytecode}, cwd=tmp_path) as server:
            client = RawClient(server.host, server.port)
            count, _, counted = client.get().body.decode().partition(" ")
            client.socket.close()
            assert server.stop() == 0
        assert int(count) >= 7
        assert counted == "[]"
