"""Streams that wait for their next event for ever, and what tells that they have ended."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

FIRST = "data: first\n\n"
ended: list[str] = []
behind: list[str] = []


def noted() -> dict[str, list[str]]:
    """What there is in the lists by now, in lists of its own.

    Threads add to the others. Free-threaded 3.13 crashes where its `json` comes upon a list that is growing.
    """
    return {"ended": list(ended), "behind": list(behind)}


async def events(name: str) -> AsyncIterator[str]:
    """Over ASGI: one event, and none after it."""
    try:
        yield FIRST
        await asyncio.Event().wait()
    finally:
        ended.append(name)


def events_of_a_thread(name: str) -> Iterator[str]:
    """Over WSGI, where nobody can end what a thread waits for: comments come meanwhile, as in any such stream."""
    try:
        yield FIRST
        while not threading.Event().wait(0.1):
            yield ": nothing new\n\n"
    finally:
        ended.append(name)
