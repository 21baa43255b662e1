"""A Starlette app that opens what it needs once per thread and closes it at the end.

    threadserve examples.starlette_lifespan:app --threads 4
    curl -Z --no-progress-meter 'http://127.0.0.1:8000/?[1-8]'

Lifespan runs on every thread's event loop. What it yields becomes the state of the requests on that thread alone, so a
connection pool, a client or an asyncio lock is never used by a loop that it does not belong to.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

logger = logging.getLogger("threadserve.error")


class Journal:
    """Stands for a pool of connections: it belongs to the event loop that opened it."""

    def __init__(self) -> None:
        self.owner = threading.current_thread().name
        self.lock = asyncio.Lock()
        self.entries = 0

    async def write(self) -> int:
        """Takes the next number, one request after the other, as a connection would."""
        async with self.lock:
            self.entries += 1
            await asyncio.sleep(0)
            return self.entries


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Journal]]:
    """Runs on every thread; what it yields is what requests find in `request.state`."""
    journal = Journal()
    yield {"journal": journal}
    logger.info("%s closes its journal after %d entries", journal.owner, journal.entries)


async def write(request: Request) -> JSONResponse:
    journal: Journal = request.state.journal
    thread = threading.current_thread().name
    return JSONResponse({"thread": thread, "owner": journal.owner, "entry": await journal.write()})


app = Starlette(routes=[Route("/", write)], lifespan=lifespan)
