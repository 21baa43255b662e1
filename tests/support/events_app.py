"""An application whose stream of events is steered by requests, and which otherwise tells how it was asked."""

import asyncio

from support import version_app
from support.apps import body, read_body, respond, start

from threadserve.types import Receive, Scope, Send


class EventsApp:
    """`version_app`, with a stream at `/events` of what is posted to `/tell`; nothing ends it. For one event loop."""

    def __init__(self) -> None:
        self._told: asyncio.Queue[bytes] = asyncio.Queue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/events":
            await self._send_events(send)
        elif scope["type"] == "http" and scope["path"] == "/tell":
            await self._told.put(await read_body(receive))
            await respond(send)
        else:
            await version_app.app(scope, receive, send)

    async def _send_events(self, send: Send) -> None:
        await start(send, headers=[(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")])
        # What a proxy passes on of a response that has not ended begins with its first part.
        await body(send, b": hello\n\n", more=True)
        while event := await self._told.get():
            await body(send, b"data: %b\n\n" % event, more=True)
        await body(send)
