"""Falcon over WSGI."""

# mypy: ignore-errors
import hashlib
from pathlib import Path

import falcon
from wrappers.endless import parts_of_a_thread

STYLE = Path(__file__).parents[1] / "static" / "style.css"


class Hello:
    def on_get(self, req, resp):
        resp.media = {"hello": req.get_param("name")}


class Stream:
    def on_get(self, req, resp):
        resp.content_type = "text/plain"
        resp.stream = parts_of_a_thread()


class Upload:
    def on_post(self, req, resp):
        for part in req.get_media():
            if part.name == "file":
                digest = hashlib.sha256(part.stream.read()).hexdigest()
        resp.media = {"digest": digest}


class Boom:
    def on_get(self, req, resp):
        raise RuntimeError("the site has a mistake")


app = falcon.App()
app.add_route("/hello", Hello())
app.add_route("/stream", Stream())
app.add_route("/upload", Upload())
app.add_route("/boom", Boom())
app.add_static_route("/static", STYLE.parent)
