"""The load-test site over ASGI, with Starlette. What it answers with is in `loadtests/apps/catalogue.py`.

A chat room is there for one event loop: a message goes to everybody whose WebSocket the same loop serves.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from loadtests.apps import catalogue
from loadtests.apps.asgi import BLOCKED_SECONDS

Room = tuple[asyncio.AbstractEventLoop, str]
rooms: dict[Room, list[WebSocket]] = defaultdict(list)


async def home(request: Request) -> Response:
    """Count the visits in a plain cookie."""
    visits = int(request.cookies.get("visits", "0")) + 1
    response = HTMLResponse(catalogue.page(visits))
    response.set_cookie("visits", str(visits))
    return response


async def asset(request: Request) -> Response:
    media_type, content = catalogue.STATIC[request.path_params["name"]]
    return Response(content, media_type=media_type)


async def items(request: Request) -> Response:
    return JSONResponse(catalogue.items_on(int(request.query_params["page"])))


async def item(request: Request) -> Response:
    found = catalogue.ITEMS_BY_ID.get(request.path_params["number"])
    return JSONResponse(found or {"detail": "Not Found"}, 200 if found else 404)


async def orders(request: Request) -> Response:
    try:
        return JSONResponse(catalogue.ordered(await request.json()))
    except (KeyError, TypeError):
        return JSONResponse({"detail": "an order has an item and a quantity"}, 422)


async def upload(request: Request) -> Response:
    return JSONResponse({"bytes": sum([len(piece) async for piece in request.stream()])})


async def download(request: Request) -> Response:
    size = request.query_params["bytes"]
    pieces = on_the_loop(catalogue.pieces(int(size)))
    return StreamingResponse(pieces, headers={"content-length": size}, media_type="application/octet-stream")


async def stream(request: Request) -> Response:
    return StreamingResponse(on_the_loop(catalogue.lines(int(request.query_params["lines"]))), media_type="text/plain")


async def events(request: Request) -> Response:
    ticks = map(catalogue.event, range(1, int(request.query_params["count"]) + 1))
    interval = float(request.query_params["interval"])
    return StreamingResponse(on_the_loop(ticks, interval), media_type="text/event-stream")


async def on_the_loop(pieces: Iterable[bytes], interval: float = 0.0) -> AsyncIterator[bytes]:
    """Yield the pieces, of which Starlette would have each made by a thread, with so many seconds between two."""
    for number, piece in enumerate(pieces):
        if number and interval:
            await asyncio.sleep(interval)
        yield piece


async def block(request: Request) -> Response:
    time.sleep(BLOCKED_SECONDS)  # noqa: ASYNC251 - holding the loop is what this path is for
    return PlainTextResponse("blocked")


async def chat(websocket: WebSocket) -> None:
    """Serve one member of a room."""
    room: Room = (asyncio.get_running_loop(), websocket.query_params.get("room", ""))
    await websocket.accept()
    rooms[room].append(websocket)
    try:
        async for message in websocket.iter_text():
            for member in list(rooms[room]):
                # Who is just leaving hears it no more.
                with suppress(WebSocketDisconnect, RuntimeError):
                    await member.send_text(message)
    finally:
        rooms[room].remove(websocket)


app = Starlette(
    routes=[
        Route("/", home),
        Route("/static/{name}", asset),
        Route("/api/items", items),
        Route("/api/items/{number:int}", item),
        Route("/api/orders", orders, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/download", download),
        Route("/stream", stream),
        Route("/events", events),
        Route("/block", block),
        WebSocketRoute("/chat", chat),
    ],
)
