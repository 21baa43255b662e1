"""Streams of Litestar."""

# mypy: ignore-errors
from litestar import Litestar, get
from litestar.params import FromQuery
from litestar.response import ServerSentEvent, Stream

from .waiting import events, noted


@get("/stream")
async def stream(name: FromQuery[str]) -> Stream:
    return Stream(events(name), media_type="text/plain")


@get("/sse")
async def sse(name: FromQuery[str]) -> ServerSentEvent:
    return ServerSentEvent(events(name))


@get("/log")
async def log() -> dict[str, list[str]]:
    return noted()


app = Litestar([stream, sse, log])
