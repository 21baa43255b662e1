"""The site in Starlette: a plain module with its routes, served as its users serve theirs.

Each loop thread has an instance of it, with a lifespan and a state of its own.
"""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypedDict

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket


class State(TypedDict):
    """What the lifespan hands to every request."""

    owner: str
    visits: list[str]
    lock: asyncio.Lock
    done: set[str]


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[State]:
    yield {"owner": threading.current_thread().name, "visits": [], "lock": asyncio.Lock(), "done": set()}


class ThreadHeader(BaseHTTPMiddleware):
    """Tells which thread answered."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-thread"] = threading.current_thread().name
        return response


async def hello(request: Request) -> Response:
    return PlainTextResponse(f"{request.query_params.get('greeting', 'Hello')}, {request.path_params['name']}!")


async def total(request: Request) -> Response:
    return JSONResponse({"total": sum((await request.json())["numbers"])})


async def upload(request: Request) -> Response:
    async with request.form() as form:
        file = form["file"]
        assert isinstance(file, UploadFile)
        digest = hashlib.sha256(await file.read()).hexdigest()
        return JSONResponse({"title": form["title"], "filename": file.filename, "digest": digest})


async def stream(request: Request) -> Response:
    async def parts() -> AsyncIterator[str]:
        for number in range(int(request.query_params["parts"])):
            yield f"part {number}\n"
            await asyncio.sleep(float(request.query_params["pause"]))

    return StreamingResponse(parts(), media_type="text/plain")


async def echo(request: Request) -> Response:
    # Not StreamingResponse(request.stream()): that listens for the client's end beside it, and takes parts of the body.
    parts = [part async for part in request.stream()]
    return Response(b"".join(parts), media_type="application/octet-stream")


async def begin(request: Request) -> Response:
    async def finish(name: str) -> None:
        await asyncio.sleep(0.01)
        request.state.done.add(name)

    name = request.path_params["name"]
    return JSONResponse({"begun": name}, status_code=202, background=BackgroundTask(finish, name))


async def is_done(request: Request) -> Response:
    return JSONResponse({"done": request.path_params["name"] in request.state.done})


async def state(request: Request) -> Response:
    async with request.state.lock:
        before = len(request.state.visits)
        await asyncio.sleep(0)
        request.state.visits.append("")
        assert len(request.state.visits) == before + 1
        return JSONResponse({"owner": request.state.owner, "visits": before + 1})


async def session(request: Request) -> Response:
    if request.method == "POST":
        request.session["name"] = (await request.form())["name"]
        request.session["visits"] = 0
    request.session["visits"] += 1
    return JSONResponse(dict(request.session))


async def echo_messages(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        if text == "bye":
            await socket.close(4000, "goodbye")
            return
        await socket.send_text(f"{socket.query_params['name']}: {text}")


async def boom(request: Request) -> Response:
    raise RuntimeError("the site has a mistake")


async def not_found(request: Request, error: Any) -> Response:
    assert isinstance(error, HTTPException)
    return PlainTextResponse("This site has no such page", status_code=404)


app = Starlette(
    routes=[
        Route("/hello/{name}", hello),
        Route("/total", total, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/stream", stream),
        Route("/echo", echo, methods=["POST"]),
        Route("/background/{name}", begin, methods=["POST"]),
        Route("/background/{name}", is_done),
        Route("/state", state),
        Route("/session", session, methods=["GET", "POST"]),
        WebSocketRoute("/ws/echo", echo_messages),
        Route("/boom", boom),
        Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
    ],
    middleware=[Middleware(ThreadHeader), Middleware(SessionMiddleware, secret_key="not secret")],
    exception_handlers={404: not_found},
    lifespan=lifespan,
)
