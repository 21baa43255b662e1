"""What every loop uses, on free-threaded Python: no thread has to wait for another to count references to it."""

from pathlib import Path

import pytest
from support.raw_client import RawClient
from support.server_process import ServerProcess

from threadserve.config.build import free_threaded_build
from threadserve.forms import form

# Tells which of the things that every request uses are counted.
APP = """
import asyncio, sys
from threadserve.http.exchange import Exchange
from threadserve.http1.connection import H1Connection
import uvloop.loop

USED = [asyncio.Task, Exchange.receive, Exchange.on_return, H1Connection.data_received, uvloop.loop.UVStream.write]

def is_counted(thing):
    before = sys.getrefcount(thing)
    more = [thing] * 1000
    return sys.getrefcount(thing) != before

async def app(scope, receive, send):
    counted = " ".join(thing.__qualname__ for thing in USED if is_counted(thing))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": counted.encode()})
"""

USED = ["Task", "Exchange.receive", "Exchange.on_return", "H1Connection.data_received", "UVStream.write"]

needs_counts = pytest.mark.skipif(
    not free_threaded_build() or form() != "compiled",
    reason="an ordinary build shares counts without harm, and Python exempts its own functions itself",
)


@needs_counts
@pytest.mark.parametrize(("threads", "expected"), [(1, USED), (2, [])])
def test_only_what_one_thread_alone_uses_is_counted(tmp_path: Path, threads: int, expected: list[str]) -> None:
    (tmp_path / "main.py").write_text(APP)
    with ServerProcess("main:app", "--threads", str(threads), cwd=tmp_path) as server:
        client = RawClient(server.host, server.port)
        counted = client.get().body.decode().split()
        client.socket.close()
        assert server.stop() == 0
    assert counted == expected
