"""Answers that are sent piece by piece: a download of any size and a stream of server-sent events.

    threadserve examples.streaming:app
    curl -o /dev/null 'http://127.0.0.1:8000/download?megabytes=500'
    curl -N 'http://127.0.0.1:8000/events?interval=0.5'

The server asks for the next piece when the client has taken the last ones, so the download needs little memory.
"""

import asyncio
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

PIECE = bytes(range(256)) * 256
PIECES_PER_MEGABYTE = 16


async def pieces(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield PIECE


async def download(request: Request) -> StreamingResponse:
    """Sends as many megabytes (of 1,048,576 bytes) as asked for."""
    count = int(request.query_params.get("megabytes", "1")) * PIECES_PER_MEGABYTE
    headers = {"content-length": str(count * len(PIECE)), "content-disposition": 'attachment; filename="pieces.bin"'}
    return StreamingResponse(pieces(count), media_type="application/octet-stream", headers=headers)


async def ticks(first: int, interval: float) -> AsyncIterator[str]:
    number = first
    while True:
        yield f"id: {number}\nevent: tick\ndata: tick number {number}\n\n"
        number += 1
        await asyncio.sleep(interval)


async def events(request: Request) -> StreamingResponse:
    """Sends an event every `interval` seconds until the client goes; one that comes back gets what follows its last."""
    first = int(request.headers.get("last-event-id", "0")) + 1
    interval = float(request.query_params.get("interval", "1"))
    return StreamingResponse(
        ticks(first, interval), media_type="text/event-stream", headers={"cache-control": "no-store"}
    )


app = Starlette(routes=[Route("/download", download), Route("/events", events)])
