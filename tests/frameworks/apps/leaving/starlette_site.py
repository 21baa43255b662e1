"""Streams of Starlette, sse-starlette and FastAPI.

The site is served plainly, below `/base` in a `BaseHTTPMiddleware` and below `/plain` in a middleware of ASGI alone.
"""

import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import EventSourceResponse as FastAPIEventSource
from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .waiting import behind, ended, events, noted

# What requests wait for that are answered when they are told to be.
may_answer: dict[str, asyncio.Event] = {}


async def stream(request: Request) -> Response:
    name = request.query_params["name"]
    return StreamingResponse(events(name), background=BackgroundTask(behind.append, name))


async def sse(request: Request) -> Response:
    return EventSourceResponse(events(request.query_params["name"]))


async def large(request: Request) -> Response:
    name = request.query_params["name"]
    may_answer[name] = asyncio.Event()
    ended.append(name)
    await may_answer[name].wait()
    return PlainTextResponse("x" * 1_000_000, background=BackgroundTask(behind.append, name))


async def answer(request: Request) -> Response:
    may_answer[request.query_params["name"]].set()
    return Response()


async def log(request: Request) -> Response:
    return JSONResponse(noted())


class Base(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


class Plain:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


fastapi = FastAPI()


@fastapi.get("/events", response_class=FastAPIEventSource)
async def fastapi_events(name: str) -> AsyncIterator[dict[str, str]]:
    try:
        yield {"event": "first"}
        await asyncio.Event().wait()
    finally:
        ended.append(name)


routes = [Route("/stream", stream), Route("/sse", sse), Route("/large", large), Mount("/fastapi", fastapi)]
app = Starlette(
    routes=[
        *routes,
        Mount("/base", Starlette(routes=routes, middleware=[Middleware(Base)])),
        Mount("/plain", Starlette(routes=routes, middleware=[Middleware(Plain)])),
        Route("/answer", answer),
        Route("/log", log),
    ]
)
