"""An application that waits, and leaves for the test what becomes of it when its client goes."""

import asyncio

from support.apps import Gate, Outcome, body, respond, start

from threadserve.types import Receive, Scope, Send

CANCEL = "threadserve.cancel_on_disconnect"


class Waiting:
    """Waits at `gate`, and notes in `ended` whether it was cancelled there.

    At /chooses it asks to be cancelled, at /declines not to be, at /begun it begins its response before, and at
    /answered it completes it. At /fine it waits for nothing, and at /late it asks to be cancelled behind the gate.
    """

    def __init__(self) -> None:
        self.gate = Gate()
        self.ended = Outcome()
        self.cleaned = Outcome()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/fine":
            await respond(send, str(scope["extensions"][CANCEL]["default"]).encode())
            return
        try:
            await self.wait(path, send)
        except asyncio.CancelledError:
            self.ended.set("cancelled")
            raise
        finally:
            await asyncio.sleep(0.01)
            self.cleaned.set()

    async def wait(self, path: str, send: Send) -> None:
        if path in ("/chooses", "/declines"):
            await send({"type": CANCEL, "cancel": path == "/chooses"})
        if path == "/begun":
            await start(send)
            await body(send, b"begun", more=True)
        elif path == "/answered":
            await respond(send, b"answered")
        await self.gate.wait()
        if path == "/late":
            await send({"type": CANCEL, "cancel": True})
            await asyncio.Event().wait()
        self.ended.set("not cancelled")
        if path == "/begun":
            await body(send, b"waited")
        elif path != "/answered":
            await respond(send, b"waited")
