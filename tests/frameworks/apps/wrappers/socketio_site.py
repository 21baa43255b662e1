"""python-socketio."""

# mypy: ignore-errors
from pathlib import Path

import socketio

STYLE = Path(__file__).parents[1] / "static" / "style.css"

sio = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*")
app = socketio.ASGIApp(sio, static_files={"/static": str(STYLE.parent)})


@sio.event
async def say(sid, text):
    await sio.emit("heard", text, to=sid)
    return "ok"


@sio.event
async def disconnect(sid, reason):
    print("the socket has ended:", reason, flush=True)
