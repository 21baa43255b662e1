"""Litestar."""

# mypy: ignore-errors
import hashlib
from pathlib import Path
from typing import Annotated

from litestar import Litestar, get, post, websocket_listener
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromQuery
from litestar.response import File, Response, ServerSentEvent, Stream
from litestar.static_files import create_static_files_router
from wrappers.endless import background, parts

STYLE = Path(__file__).parents[1] / "static" / "style.css"


@get("/hello")
async def hello(name: FromQuery[str]) -> Response[dict[str, str]]:
    return Response({"hello": name}, background=BackgroundTask(background))


@get("/stream")
async def stream() -> Stream:
    return Stream(parts(), media_type="text/plain")


@get("/events")
async def events() -> ServerSentEvent:
    return ServerSentEvent(parts())


@get("/file")
async def file() -> File:
    return File(STYLE)


@post("/upload")
async def upload(data: Annotated[UploadFile, Body(media_type=RequestEncodingType.MULTI_PART)]) -> dict[str, str]:
    return {"digest": hashlib.sha256(await data.read()).hexdigest()}


@get("/boom")
async def boom() -> None:
    raise RuntimeError("the site has a mistake")


@websocket_listener("/ws")
async def echo(data: str) -> str:
    return f"echo {data}"


app = Litestar(
    [
        hello,
        stream,
        events,
        file,
        upload,
        boom,
        echo,
        create_static_files_router(path="/static", directories=[STYLE.parent]),
    ]
)
