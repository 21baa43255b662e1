"""The application, in which the server of tools is mounted, as the SDK's documentation has it."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import tools  # noqa: F401
from fastapi import FastAPI, Response
from mcp_server import instance, server

mounted = server.streamable_http_app(streamable_http_path="/")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with server.session_manager.run():
        yield


app = FastAPI(lifespan=lifespan)
app.mount("/mcp", mounted)


@app.get("/")
async def page(response: Response) -> str:
    response.headers.update({"x-thread": threading.current_thread().name, "x-instance": instance})
    return "a page"
