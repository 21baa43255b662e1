"""The client that sends and reads a large body, and tells when.

After a small body each way, for warming up, it sends the bytes and reads as many. It pauses before it reads, so a
server that does not wait for its client shows.
"""

import http.client
import itertools
import time
from typing import Any

from loadtests.errors import LoadTestError

WARM_UP_BYTES = 2_000_000
PIECE = bytes(65536)
PAUSE_SECONDS = 0.5


def upload(port: int, size: int) -> None:
    """Post so many bytes; raises LoadTestError unless the app has read them all."""
    body = itertools.chain(itertools.repeat(PIECE, size // len(PIECE)), [PIECE[: size % len(PIECE)]])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/", body, {"Content-Length": str(size), "Connection": "close"})
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200 or str(size).encode() not in answer:
        raise LoadTestError(f"the server did not take {size} bytes: {response.status} {answer[:200]!r}")


def download(port: int, size: int) -> None:
    """Read so many bytes; raises LoadTestError where there are fewer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", f"/down?{size}", headers={"Connection": "close"})
    time.sleep(PAUSE_SECONDS)
    response = connection.getresponse()
    got = sum(map(len, iter(lambda: response.read(len(PIECE)), b"")))
    if response.status != 200 or got < size:
        raise LoadTestError(f"the server sent {got} of {size} bytes")


async def measure(port: int, size: int) -> dict[str, Any]:
    """Stream so many bytes each way; return when each way began and ended, in seconds since the epoch."""
    told = {}
    for stream in (upload, download):
        stream(port, WARM_UP_BYTES)
    for stream in (upload, download):
        began = time.time()
        stream(port, size)
        told[stream.__name__] = (began, time.time())
    return told
