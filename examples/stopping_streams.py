"""Server-sent events that end by themselves when the server stops, instead of being cut off.

    threadserve examples.stopping_streams:app
    curl -N 'http://127.0.0.1:8000/events?interval=0.5'

A stream without an end would keep a server that stops for all of --timeout-graceful-shutdown. `threadserve_stopping` is
an asyncio.Event of the loop that serves the request, set when the server begins to stop. The client's EventSource then
connects again by itself, to whichever server is there, and names the last event that it has seen.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def ticks(first: int, interval: float, stopping: asyncio.Event) -> AsyncIterator[str]:
    number = first
    while not stopping.is_set():
        yield f"id: {number}\nevent: tick\ndata: tick number {number}\n\n"
        number += 1
        with suppress(TimeoutError):
            async with asyncio.timeout(interval):
                await stopping.wait()
    # In milliseconds, when to connect again: by themselves some clients wait for several seconds.
    yield "retry: 500\nevent: stopping\ndata: come back\n\n"


async def events(request: Request) -> StreamingResponse:
    """Sends an event every `interval` seconds until the client goes or the server stops."""
    first = int(request.headers.get("last-event-id", "0")) + 1
    interval = float(request.query_params.get("interval", "1"))
    stream = ticks(first, interval, request.state.threadserve_stopping)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"cache-control": "no-store"})


app = Starlette(routes=[Route("/events", events)])
