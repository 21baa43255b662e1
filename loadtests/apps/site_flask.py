"""The load-test site over WSGI with Flask: a template, and a session that counts the visits.

What it answers with is in `loadtests/apps/catalogue.py`.
"""

import os
import threading
import time

from flask import Flask, Response, abort, request, session

from loadtests.apps import catalogue
from loadtests.apps.blocking import BLOCKED_SECONDS

app = Flask(__name__)
# Fixed, so that every process of a server reads the others' sessions.
app.secret_key = "for load tests alone"
template = app.jinja_env.from_string(catalogue.TEMPLATE)


@app.get("/")
def home() -> str:
    session["visits"] = session.get("visits", 0) + 1
    return template.render(visits=session["visits"], items=catalogue.items_on(1))


@app.get("/static/<name>", endpoint="asset")
def asset(name: str) -> Response:
    if name not in catalogue.STATIC:
        abort(404)
    media_type, content = catalogue.STATIC[name]
    return Response(content, mimetype=media_type)


@app.get("/api/items")
def items() -> list[dict[str, object]]:
    return catalogue.items_on(catalogue.whole_number(request.args.get("page", "1"), catalogue.PAGES))


@app.get("/api/items/<int:number>")
def item(number: int) -> tuple[dict[str, object], int]:
    found = catalogue.item(number)
    return ({"detail": "Not Found"}, 404) if found is None else (found, 200)


@app.post("/api/orders")
def orders() -> dict[str, object]:
    return catalogue.order(request.get_data())


@app.post("/upload")
def upload() -> dict[str, object]:
    return {"bytes": sum(map(len, iter(lambda: request.stream.read(65536), b"")))}


@app.get("/download")
def download() -> Response:
    size = catalogue.whole_number(request.args.get("bytes", "0"), catalogue.MOST_BYTES)
    headers = {"Content-Length": str(size)}
    return Response(catalogue.pieces(size), mimetype="application/octet-stream", headers=headers)


@app.get("/stream")
def stream() -> Response:
    count = catalogue.whole_number(request.args.get("lines", "0"), catalogue.MOST_LINES)
    return Response(catalogue.lines(count), mimetype="text/plain")


@app.get("/block")
def block() -> Response:
    time.sleep(BLOCKED_SECONDS)
    return Response("blocked", mimetype="text/plain")


@app.get("/whoami")
def whoami() -> Response:
    return Response(f"{os.getpid()} {threading.get_ident()}", mimetype="text/plain")


@app.errorhandler(catalogue.BadRequest)
def refuse(error: catalogue.BadRequest) -> tuple[dict[str, object], int]:
    return {"detail": str(error)}, 422
