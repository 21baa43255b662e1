"""A chat room whose people are on different threads, with nothing but a list between them.

    threadserve examples.chat:app --app-instance shared --threads 4

Open http://127.0.0.1:8000/ in two windows. One instance of the app serves all threads, so they share the list; sending
to a connection of another thread is the server's business. Each message tells its thread.
"""

import threading
from contextlib import suppress
from pathlib import Path

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse


class ConnectionManager:
    """Who is in the room."""

    def __init__(self) -> None:
        self.active_connections: list[WebSocket] = []

    async def connect(self, websocket: WebSocket) -> None:
        """Lets somebody in."""
        await websocket.accept()
        self.active_connections.append(websocket)

    def disconnect(self, websocket: WebSocket) -> None:
        """Somebody has left."""
        self.active_connections.remove(websocket)

    async def broadcast(self, message: str) -> None:
        """Tells everybody; who is just leaving hears it no more."""
        for connection in list(self.active_connections):
            with suppress(WebSocketDisconnect, RuntimeError):
                await connection.send_text(message)


app = FastAPI()
manager = ConnectionManager()


@app.get("/")
async def page() -> FileResponse:
    """The page with the chat."""
    return FileResponse(Path(__file__).with_suffix(".html"))


@app.websocket("/ws/{name}")
async def chat(websocket: WebSocket, name: str) -> None:
    """One person in the room."""
    await manager.connect(websocket)
    try:
        while True:
            text = await websocket.receive_text()
            await manager.broadcast(f"{name} on {threading.current_thread().name}: {text}")
    except (WebSocketDisconnect, RuntimeError):  # The latter once a message to this person could not be sent.
        manager.disconnect(websocket)
        await manager.broadcast(f"{name} has left")
