"""Jobs, done one after the other by workers that run beside the requests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

queue: asyncio.Queue[tuple[int, asyncio.Future[int]]] = asyncio.Queue()
written: list[str] = []


async def work() -> None:
    while True:
        number, result = await queue.get()
        await asyncio.sleep(0)
        result.set_result(number * number)
        queue.task_done()


@asynccontextmanager
async def workers(count: int) -> AsyncIterator[None]:
    running = [asyncio.create_task(work()) for _ in range(count)]
    yield
    for worker in running:
        worker.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def squared(number: int) -> int:
    result: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    await queue.put((number, result))
    return await result


def write(line: str) -> None:
    written.append(line)
