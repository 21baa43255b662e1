"""The site in FastAPI: models, dependencies, and functions that run in its thread pool.

Each loop thread has an instance of it, with a lifespan and an `app.state` of its own.
"""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import (
    BackgroundTasks,
    Depends,
    FastAPI,
    File,
    Form,
    Request,
    Response,
    UploadFile,
    WebSocket,
    WebSocketDisconnect,
)
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from starlette.middleware.sessions import SessionMiddleware


class Numbers(BaseModel):
    numbers: list[int]


class Total(BaseModel):
    total: int


class Visits(BaseModel):
    owner: str
    visits: int


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.owner = threading.current_thread().name
    app.state.visits = 0
    app.state.lock = asyncio.Lock()
    app.state.done = set()
    yield


app = FastAPI(lifespan=lifespan)
app.add_middleware(SessionMiddleware, secret_key="not secret")
app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))


@app.middleware("http")
async def thread_header(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers["x-thread"] = threading.current_thread().name
    return response


def greeting(greeting: str = "Hello") -> Iterator[str]:
    yield greeting


@app.get("/hello/{name}", response_class=PlainTextResponse)
def hello(name: str, greeting: Annotated[str, Depends(greeting)]) -> str:
    return f"{greeting}, {name}!"


@app.post("/total")
async def total(numbers: Numbers) -> Total:
    return Total(total=sum(numbers.numbers))


@app.post("/upload")
def upload(title: Annotated[str, Form()], file: Annotated[UploadFile, File()]) -> dict[str, str | None]:
    return {"title": title, "filename": file.filename, "digest": hashlib.sha256(file.file.read()).hexdigest()}


@app.get("/stream")
async def stream(parts: int, pause: float) -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        for number in range(parts):
            yield f"part {number}\n"
            await asyncio.sleep(pause)

    return StreamingResponse(lines(), media_type="text/plain")


@app.post("/echo")
async def echo(request: Request) -> Response:
    # Not StreamingResponse(request.stream()): that listens for the client's end beside it, and takes parts of the body.
    parts = [part async for part in request.stream()]
    return Response(b"".join(parts), media_type="application/octet-stream")


@app.post("/background/{name}", status_code=202)
async def begin(name: str, tasks: BackgroundTasks, request: Request) -> dict[str, str]:
    tasks.add_task(request.app.state.done.add, name)
    return {"begun": name}


@app.get("/background/{name}")
async def is_done(name: str, request: Request) -> dict[str, bool]:
    return {"done": name in request.app.state.done}


async def count_visit(request: Request) -> AsyncIterator[int]:
    state = request.app.state
    async with state.lock:
        before = state.visits
        await asyncio.sleep(0)
        state.visits = before + 1
        yield state.visits


@app.get("/state")
async def state(request: Request, visits: Annotated[int, Depends(count_visit)]) -> Visits:
    return Visits(owner=request.app.state.owner, visits=visits)


@app.post("/session")
async def begin_session(request: Request, name: Annotated[str, Form()]) -> dict[str, Any]:
    request.session.update(name=name, visits=1)
    return request.session


@app.get("/session")
async def session(request: Request) -> dict[str, Any]:
    request.session["visits"] += 1
    return request.session


@app.websocket("/ws/echo")
async def echo_messages(socket: WebSocket, name: str) -> None:
    await socket.accept()
    try:
        while (text := await socket.receive_text()) != "bye":
            await socket.send_text(f"{name}: {text}")
    except WebSocketDisconnect:
        return
    await socket.close(4000, "goodbye")


@app.get("/boom")
def boom() -> None:
    raise RuntimeError("the site has a mistake")


@app.exception_handler(404)
async def not_found(request: Request, error: Exception) -> Response:
    return PlainTextResponse("This site has no such page", status_code=404)
