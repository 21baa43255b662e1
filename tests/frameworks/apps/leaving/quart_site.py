"""Streams of Quart: an asynchronous generator, and server-sent events as its documentation makes them."""

# mypy: disable-error-code="comparison-overlap,union-attr"
from typing import Any

from quart import Quart, Response, abort, make_response, request

from .waiting import events, noted

app = Quart(__name__)


@app.get("/stream")
async def stream() -> Response:
    return Response(events(request.args["name"]), mimetype="text/plain")


@app.get("/sse")
async def sse() -> Any:
    if "text/event-stream" not in request.accept_mimetypes:
        abort(400)
    fields = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "Transfer-Encoding": "chunked"}
    response = await make_response(events(request.args["name"]), fields)
    response.timeout = None
    return response


@app.get("/log")
async def log() -> dict[str, list[str]]:
    return noted()
