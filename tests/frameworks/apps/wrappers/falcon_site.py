"""Falcon over ASGI."""

# mypy: ignore-errors
import hashlib
from pathlib import Path

import falcon
import falcon.asgi
from wrappers.endless import background, parts

STYLE = Path(__file__).parents[1] / "static" / "style.css"


class Hello:
    async def on_get(self, req, resp):
        resp.schedule(background)
        resp.media = {"hello": req.get_param("name")}


class Stream:
    async def on_get(self, req, resp):
        resp.content_type = "text/plain"
        resp.stream = parts()


class Events:
    async def on_get(self, req, resp):
        async def events():
            async for part in parts():
                yield falcon.asgi.SSEvent(json={"part": part.decode()})

        resp.sse = events()


class Upload:
    async def on_post(self, req, resp):
        form = await req.get_media()
        async for part in form:
            if part.name == "file":
                digest = hashlib.sha256(await part.stream.read()).hexdigest()
        resp.media = {"digest": digest}


class Boom:
    async def on_get(self, req, resp):
        raise RuntimeError("the site has a mistake")


class Echo:
    async def on_websocket(self, req, ws):
        await ws.accept()
        try:
            while True:
                await ws.send_text("echo " + await ws.receive_text())
        except falcon.WebSocketDisconnected:
            return


app = falcon.asgi.App()
app.add_route("/hello", Hello())
app.add_route("/stream", Stream())
app.add_route("/events", Events())
app.add_route("/upload", Upload())
app.add_route("/boom", Boom())
app.add_route("/ws", Echo())
app.add_static_route("/static", STYLE.parent)
