"""The site in Quart, with its globals, signals and background tasks.

Each loop thread has an instance of it, with attributes that belong to its loop.
"""

import asyncio
import hashlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from quart import Quart, Response, current_app, jsonify, request, session, websocket

app = Quart(__name__)
app.secret_key = "not secret"


@app.while_serving
async def lifespan() -> AsyncGenerator[None, None]:
    app.config.update(OWNER=threading.current_thread().name, VISITS=0, LOCK=asyncio.Lock(), DONE=set())
    yield


@app.after_request
async def thread_header(response: Response) -> Response:
    response.headers["x-thread"] = threading.current_thread().name
    return response


@app.get("/hello/<name>")
async def hello(name: str) -> str:
    return f"{request.args.get('greeting', 'Hello')}, {name}!"


@app.post("/total")
async def total() -> dict[str, int]:
    return {"total": sum((await request.get_json())["numbers"])}


@app.post("/upload")
async def upload() -> dict[str, str | None]:
    form, files = await request.form, await request.files
    file = files["file"]
    return {
        "title": form["title"],
        "filename": file.filename,
        "digest": hashlib.sha256(file.read()).hexdigest(),
    }


@app.get("/stream")
async def stream() -> Response:
    parts, pause = int(request.args["parts"]), float(request.args["pause"])

    async def lines() -> AsyncIterator[str]:
        for number in range(parts):
            yield f"part {number}\n"
            await asyncio.sleep(pause)

    return Response(lines(), mimetype="text/plain")


@app.post("/echo")
async def echo() -> Response:
    body = request.body

    async def pieces() -> AsyncIterator[bytes]:
        async for piece in body:
            yield piece

    return Response(pieces(), mimetype="application/octet-stream")


@app.post("/background/<name>")
async def begin(name: str) -> tuple[dict[str, str], int]:
    async def finish() -> None:
        await asyncio.sleep(0.01)
        current_app.config["DONE"].add(name)

    app.add_background_task(finish)
    return {"begun": name}, 202


@app.get("/background/<name>")
async def is_done(name: str) -> dict[str, bool]:
    return {"done": name in app.config["DONE"]}


@app.get("/state")
async def state() -> dict[str, Any]:
    async with app.config["LOCK"]:
        before = app.config["VISITS"]
        await asyncio.sleep(0)
        app.config["VISITS"] = before + 1
        return {"owner": app.config["OWNER"], "visits": before + 1}


@app.route("/session", methods=["GET", "POST"])
async def visits() -> Response:
    if request.method == "POST":
        session["name"] = (await request.form)["name"]
        session["visits"] = 0
    session["visits"] += 1
    return jsonify(dict(session))


@app.websocket("/ws/echo")
async def echo_messages() -> None:
    name = websocket.args["name"]
    while (text := await websocket.receive()) != "bye":
        await websocket.send(f"{name}: {text!s}")
    await websocket.close(4000, "goodbye")


@app.get("/boom")
async def boom() -> str:
    raise RuntimeError("the site has a mistake")


@app.errorhandler(404)
async def not_found(error: Exception) -> tuple[str, int]:
    return "This site has no such page", 404
