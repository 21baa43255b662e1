"""The application: events beside pages."""

import threading

import events  # noqa: F401
import socketio
from server import instance, sio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def page(request: Request) -> Response:
    headers = {"x-thread": threading.current_thread().name, "x-instance": instance}
    return Response("a page", headers=headers)


app = socketio.ASGIApp(sio, Starlette(routes=[Route("/", page)]))
