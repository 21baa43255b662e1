"""`/thread` is answered with the name of the thread that serves it, every other path with a hello world."""

import threading

from loadtests.apps import hello
from loadtests.apps.hello import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope.get("path") != "/thread":
        await hello.app(scope, receive, send)
        return
    name = threading.current_thread().name.encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(name))]})
    await send({"type": "http.response.body", "body": name})
