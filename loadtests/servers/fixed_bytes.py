"""`python -m loadtests.servers.fixed_bytes PORT`: the least that a hello world can cost, on one thread with uvloop.

An empty protocol writes the same response for whatever arrives. It reads no request, and runs no application.
"""

import asyncio
import sys
from typing import cast

import uvloop

from loadtests.apps.hello import BODY, HEADERS

RESPONSE = b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (b"".join(b"%b: %b\r\n" % field for field in HEADERS), BODY)


class FixedBytes(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast("asyncio.Transport", transport).write

    def data_received(self, data: bytes) -> None:
        self._write(RESPONSE)


async def serve(port: int) -> None:
    """Serve until the process is ended, with a backlog as long as threadserve's."""
    server = await asyncio.get_running_loop().create_server(FixedBytes, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
