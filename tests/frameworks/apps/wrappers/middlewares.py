"""A Starlette application in each of the middlewares that come as packages of their own, and in Starlette's."""

# mypy: ignore-errors
import hashlib
from pathlib import Path

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket
from wrappers.endless import background, parts

STYLE = Path(__file__).parents[1] / "static" / "style.css"


async def hello(request: Request) -> Response:
    return JSONResponse({"hello": request.query_params["name"]}, background=BackgroundTask(background))


async def stream(request: Request) -> Response:
    return StreamingResponse(parts(), media_type="text/plain")


async def file(request: Request) -> Response:
    return FileResponse(STYLE)


async def upload(request: Request) -> Response:
    async with request.form() as form:
        return JSONResponse({"digest": hashlib.sha256(await form["file"].read()).hexdigest()})


async def boom(request: Request) -> Response:
    raise RuntimeError("the site has a mistake")


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(f"echo {text}")


ROUTES = [
    Route("/hello", hello),
    Route("/stream", stream),
    Route("/file", file),
    Route("/upload", upload, methods=["POST"]),
    Route("/boom", boom),
    WebSocketRoute("/ws", echo),
    Mount("/static", StaticFiles(directory=STYLE.parent)),
]


def gzip():
    return GZipMiddleware(Starlette(routes=ROUTES), minimum_size=10)


def base():
    async def dispatch(request, call_next):
        response = await call_next(request)
        response.headers["x-base"] = "here"
        return response

    return Starlette(routes=ROUTES, middleware=[Middleware(BaseHTTPMiddleware, dispatch=dispatch)] * 2)


def brotli():
    from brotli_asgi import BrotliMiddleware

    return BrotliMiddleware(Starlette(routes=ROUTES), minimum_size=10)


def opentelemetry():
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    return OpenTelemetryMiddleware(Starlette(routes=ROUTES), tracer_provider=provider)


def sentry():
    """As one adds it to what has no integration."""
    from sentry_sdk.integrations.asgi import SentryAsgiMiddleware
    from wrappers.reporting import report_errors

    report_errors()
    return SentryAsgiMiddleware(Starlette(routes=ROUTES))


def sentry_fastapi():
    """With its integrations."""
    from fastapi import FastAPI
    from sentry_sdk.integrations.fastapi import FastApiIntegration
    from sentry_sdk.integrations.starlette import StarletteIntegration
    from wrappers.reporting import report_errors

    report_errors(StarletteIntegration(), FastApiIntegration())
    return FastAPI(routes=ROUTES)


def correlation_id():
    from asgi_correlation_id import CorrelationIdMiddleware

    return CorrelationIdMiddleware(Starlette(routes=ROUTES))


def prometheus():
    from fastapi import FastAPI
    from prometheus_fastapi_instrumentator import Instrumentator

    app = FastAPI()
    Instrumentator().instrument(app).expose(app)
    app.router.routes.extend(ROUTES)
    return app


def a2wsgi():
    """For WSGI."""
    from a2wsgi import ASGIMiddleware

    return ASGIMiddleware(Starlette(routes=ROUTES))
