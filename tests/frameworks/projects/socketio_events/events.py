"""What happens at each event."""

import asyncio

import socketio
from server import instance, sio

lock = asyncio.Lock()


@sio.event
async def say(sid: str, text: str) -> str:
    async with lock:
        await sio.emit("heard", f"{instance} {text}", to=sid)
    return "ok"


class Room(socketio.AsyncNamespace):
    async def on_enter(self, sid: str, name: str) -> None:
        await self.enter_room(sid, name)
        await self.emit("entered", f"{instance} {name}", room=name)


sio.register_namespace(Room("/room"))
