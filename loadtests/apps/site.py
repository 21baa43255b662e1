"""The load-test site over ASGI. What it answers with is in `loadtests/apps/catalogue.py`.

A chat room is there for one event loop: a message goes to everybody whose WebSocket the same loop serves.
"""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from loadtests.apps import catalogue
from loadtests.apps.blocking import BLOCKED_SECONDS

Room = tuple[asyncio.AbstractEventLoop, str]
rooms: dict[Room, list[WebSocket]] = {}


async def home(request: Request) -> Response:
    """Counts the visits in a plain cookie."""
    seen = request.cookies.get("visits", "0")
    visits = (int(seen) if seen.isdecimal() and len(seen) < 10 else 0) + 1
    response = HTMLResponse(catalogue.page(visits))
    response.set_cookie("visits", str(visits))
    return response


async def static(request: Request) -> Response:
    found = catalogue.STATIC.get(request.path_params["name"])
    if found is None:
        raise HTTPException(404)
    media_type, content = found
    return Response(content, media_type=media_type)


async def items(request: Request) -> Response:
    page = catalogue.whole_number(request.query_params.get("page", "1"), catalogue.PAGES)
    return JSONResponse(catalogue.items_on(page))


async def item(request: Request) -> Response:
    found = catalogue.item(request.path_params["number"])
    return JSONResponse({"detail": "Not Found"}, 404) if found is None else JSONResponse(found)


async def orders(request: Request) -> Response:
    return JSONResponse(catalogue.order(await request.body()))


async def upload(request: Request) -> Response:
    size = 0
    async for piece in request.stream():
        size += len(piece)
    return JSONResponse({"bytes": size})


async def download(request: Request) -> Response:
    size = catalogue.whole_number(request.query_params.get("bytes", "0"), catalogue.MOST_BYTES)
    headers = {"content-length": str(size)}
    return StreamingResponse(catalogue.pieces(size), media_type="application/octet-stream", headers=headers)


async def stream(request: Request) -> Response:
    count = catalogue.whole_number(request.query_params.get("lines", "0"), catalogue.MOST_LINES)
    return StreamingResponse(catalogue.lines(count), media_type="text/plain")


async def ticks(count: int, interval: float) -> AsyncIterator[bytes]:
    for number in range(1, count + 1):
        if number > 1:
            await asyncio.sleep(interval)
        yield catalogue.event(number)


async def events(request: Request) -> Response:
    count = catalogue.whole_number(request.query_params.get("count", "1"), catalogue.MOST_EVENTS)
    interval = catalogue.seconds(request.query_params.get("interval", "1"))
    headers = {"cache-control": "no-store"}
    return StreamingResponse(ticks(count, interval), media_type="text/event-stream", headers=headers)


async def block(request: Request) -> Response:
    time.sleep(BLOCKED_SECONDS)  # noqa: ASYNC251 - holding the loop is what this is for
    return PlainTextResponse("blocked")


async def whoami(request: Request) -> Response:
    return PlainTextResponse(f"{os.getpid()} {threading.get_ident()}")


async def chat(websocket: WebSocket) -> None:
    """One member of a room."""
    room: Room = (asyncio.get_running_loop(), websocket.query_params.get("room", ""))
    await websocket.accept()
    rooms.setdefault(room, []).append(websocket)
    try:
        while True:
            await tell_all(room, await websocket.receive_text())
    except WebSocketDisconnect:
        pass
    finally:
        leave(room, websocket)


async def tell_all(room: Room, message: str) -> None:
    """Who is just leaving hears it no more."""
    for member in list(rooms[room]):
        with suppress(WebSocketDisconnect, RuntimeError):
            await member.send_text(message)


def leave(room: Room, websocket: WebSocket) -> None:
    rooms[room].remove(websocket)
    if not rooms[room]:
        del rooms[room]


async def refuse(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, 422)


app = Starlette(
    routes=[
        Route("/", home),
        Route("/static/{name}", static),
        Route("/api/items", items),
        Route("/api/items/{number:int}", item),
        Route("/api/orders", orders, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/download", download),
        Route("/stream", stream),
        Route("/events", events),
        Route("/block", block),
        Route("/whoami", whoami),
        WebSocketRoute("/chat", chat),
    ],
    exception_handlers={catalogue.BadRequest: refuse},
)
