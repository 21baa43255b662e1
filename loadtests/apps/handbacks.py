"""An application that tells request, body and thread in each answer; `/block` holds its event loop before that.

An answer is `SIZE` bytes: the number at the end of the path, the CRC of the body, and the thread.
"""

import asyncio
import threading
import time
import zlib

from loadtests.apps.hello import Receive, Scope, Send

BLOCKED_SECONDS = 0.04
# What an answer says before the thread, of a number and a CRC, and how long it is as a whole.
ANSWER = b"%012d %08x "
SIZE = len(ANSWER % (0, 0)) + 16
HEADERS = [(b"content-length", b"%d" % SIZE)]
# One in so many is not answered at once, but in a later turn of the loop.
LATE = 8


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer nothing to a client that has gone."""
    assert scope["type"] == "http"
    kind, _, name = scope["path"].rpartition("/")
    number = int(name or 0)
    crc, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        crc, more = zlib.crc32(message.get("body", b""), crc), message.get("more_body", False)
    if kind == "/block":
        time.sleep(BLOCKED_SECONDS)  # noqa: ASYNC251 - holding the loop is what this path is for
    elif number % LATE == 0:
        await asyncio.sleep(0.001)
    body = ANSWER % (number, crc) + b"%016x" % threading.get_ident()
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": body})
