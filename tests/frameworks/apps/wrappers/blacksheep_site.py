"""BlackSheep."""

# mypy: ignore-errors
import hashlib
from pathlib import Path

from blacksheep import (
    Application,
    Request,
    Response,
    StreamedContent,
    WebSocket,
    WebSocketDisconnectError,
    get,
    json,
    post,
    ws,
)
from blacksheep.server.responses import file as file_response
from wrappers.endless import parts

STYLE = Path(__file__).parents[1] / "static" / "style.css"
app = Application()
app.serve_files(STYLE.parent, root_path="static")


@get("/hello")
async def hello(name: str) -> Response:
    return json({"hello": name})


async def endless():
    async for part in parts():
        yield part


@get("/stream")
async def stream() -> Response:
    return Response(200, content=StreamedContent(b"text/plain", endless))


@get("/file")
async def file() -> Response:
    return file_response(str(STYLE), "text/css")


@post("/upload")
async def upload(request: Request) -> Response:
    [found] = await request.files("file")
    return json({"digest": hashlib.sha256(found.data).hexdigest()})


@get("/boom")
async def boom() -> None:
    raise RuntimeError("the site has a mistake")


@ws("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_text("echo " + await websocket.receive_text())
    except WebSocketDisconnectError:
        print("the websocket of blacksheep has ended", flush=True)
