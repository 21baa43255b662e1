"""Streams that never end by themselves, and say on stdout when they have been ended."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator


async def parts() -> AsyncIterator[bytes]:
    """An endless stream over ASGI."""
    try:
        while True:
            yield b"part\n"
            await asyncio.sleep(0.01)
    finally:
        print("the stream has ended", flush=True)


async def numbers() -> AsyncGenerator[int, None]:
    """What one subscribes to: three numbers, and none after them for ever."""
    try:
        for number in range(3):
            yield number
        await asyncio.Event().wait()
    finally:
        print("the stream has ended", flush=True)


def parts_of_a_thread() -> Iterator[bytes]:
    """An endless stream over WSGI."""
    try:
        while True:
            yield b"part\n"
            time.sleep(0.01)
    finally:
        print("the stream has ended", flush=True)


async def background() -> None:
    """A background task."""
    print("the background task has run", flush=True)
