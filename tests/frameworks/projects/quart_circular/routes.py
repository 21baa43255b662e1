"""The routes."""

import asyncio

from app import app, instance
from quart import current_app, render_template, session, websocket

lock = asyncio.Lock()
visits = 0


@app.get("/page/<name>")
async def page(name: str) -> str:
    return await render_template("page.html", name=name, known=current_app.name)


@app.get("/same")
async def same() -> dict[str, bool]:
    import routes as late
    from app import app as late_app

    running = current_app._get_current_object()
    return {"application": late_app is running, "routes": late.same is same, "instance": late.instance is instance}


@app.post("/visit")
async def visit() -> dict[str, int]:
    session["visits"] = session.get("visits", 0) + 1
    return {"visits": session["visits"]}


@app.get("/counted")
async def counted() -> dict[str, int]:
    async def count() -> int:
        global visits
        async with lock:
            before = visits
            await asyncio.sleep(0)
            visits = before + 1
            return before

    return {"different": len(set(await asyncio.gather(*(count() for _ in range(3)))))}


@app.websocket("/ws")
async def echo() -> None:
    while True:
        await websocket.send(f"{instance} {await websocket.receive()}")
