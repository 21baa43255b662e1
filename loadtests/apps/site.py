"""The load-test site over ASGI, with Starlette. What it answers with is in `loadtests/apps/catalogue.py`.

A chat room is there for one event loop: a message goes to everybody whose WebSocket the same loop serves.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from loadtests.apps import catalogue
from loadtests.apps.catalogue import Answer

Room = tuple[asyncio.AbstractEventLoop, str]
rooms: dict[Room, list[WebSocket]] = defaultdict(list)


def respond(answer: Answer) -> Response:
    if not answer.media_type:
        return JSONResponse(answer.content, answer.status)
    if isinstance(answer.content, bytes):
        return Response(answer.content, answer.status, answer.headers, answer.media_type)
    return StreamingResponse(pieces_of(answer), answer.status, answer.headers, answer.media_type)


async def pieces_of(answer: Answer) -> AsyncIterator[bytes]:
    """Yield the pieces on the loop, where Starlette would have each of them made by a thread."""
    for number, piece in enumerate(answer.content):
        if number and answer.interval:
            await asyncio.sleep(answer.interval)
        yield piece


def route(path: str, view: Callable[[dict[str, str]], Answer]) -> Route:
    async def endpoint(request: Request) -> Response:
        return respond(view({**request.query_params, **request.path_params}))

    return Route(path, endpoint)


async def home(request: Request) -> Response:
    """Count the visits in a plain cookie."""
    visits = int(request.cookies.get("visits", "0")) + 1
    response = HTMLResponse(catalogue.page(visits))
    response.set_cookie("visits", str(visits))
    return response


async def orders(request: Request) -> Response:
    return respond(catalogue.ordered(await request.body()))


async def upload(request: Request) -> Response:
    return JSONResponse({"bytes": sum([len(piece) async for piece in request.stream()])})


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
        *(route(path, view) for path, view in catalogue.VIEWS.items()),
        route("/events", catalogue.events),
        Route("/", home),
        Route("/api/orders", orders, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        WebSocketRoute("/chat", chat),
    ],
)
