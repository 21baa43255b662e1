"""Books."""

import asyncio

from fastapi import APIRouter, BackgroundTasks, Request

from app import jobs
from app.api.deps import CurrentSettings, KnownBook
from app.clients import few_at_a_time, http, one_at_a_time
from app.shelf import Book

router = APIRouter()


@router.get("/title")
def title_of_all(settings: CurrentSettings) -> str:
    return settings.title


@router.get("/one/{title}")
async def one(book: KnownBook) -> Book:
    return book


@router.get("/report")
def report(words: int) -> str:
    from app.reports import report

    return report(words)


@router.get("/square/{number}")
async def square(number: int) -> int:
    return await jobs.squared(number)


@router.get("/mirrored")
async def mirrored(request: Request) -> str:
    async def ask() -> str:
        async with few_at_a_time, one_at_a_time:
            return (await http.get(f"{request.base_url}books/title")).json()

    return " ".join(await asyncio.gather(*(ask() for _ in range(3))))


@router.post("/written/{line}")
def write(line: str, tasks: BackgroundTasks) -> None:
    tasks.add_task(jobs.write, line)


@router.get("/written")
async def written() -> list[str]:
    return jobs.written
