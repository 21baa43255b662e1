"""The small applications over ASGI that a figure or a test puts under load, beside the hello world."""

import threading
import time

from loadtests.apps import cpu_bound, hello
from loadtests.apps.hello import Receive, Scope, Send

BLOCKED_SECONDS = 0.5
PART, PARTS = b"y" * 10_000, 50
LARGE_PART, LARGE_PARTS = b"z" * 65_536, 32


async def respond(send: Send, body: bytes) -> None:
    """Send a whole body."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def parts(scope: Scope, receive: Receive, send: Send) -> None:
    """Send 50 parts one by one, without a content-length."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    for _ in range(PARTS):
        await send({"type": "http.response.body", "body": PART, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def large(scope: Scope, receive: Receive, send: Send) -> None:
    """Send 2 MB in parts of 64 kB."""
    assert scope["type"] == "http"
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % (len(LARGE_PART) * LARGE_PARTS))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for left in reversed(range(LARGE_PARTS)):
        await send({"type": "http.response.body", "body": LARGE_PART, "more_body": left > 0})


async def send_back(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the request's body when all of it is there."""
    assert scope["type"] == "http"
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await respond(send, bytes(body))


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Send each WebSocket message back; HTTP gets a hello world."""
    if scope["type"] != "websocket":
        await hello.app(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        kind = "bytes" if message.get("text") is None else "text"
        await send({"type": "websocket.send", kind: message[kind]})


async def thread_name(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer `/thread` with the name of the thread that serves it, every other path with a hello world."""
    if scope.get("path") == "/thread":
        await respond(send, threading.current_thread().name.encode())
    else:
        await hello.app(scope, receive, send)


async def sleeping(scope: Scope, receive: Receive, send: Send) -> None:
    """Hold the event loop for half a second at `/block`; answer every other path at once."""
    if scope.get("path") == "/block":
        time.sleep(BLOCKED_SECONDS)  # noqa: ASYNC251 - holding the loop is what this app is for
    await hello.app(scope, receive, send)


async def computing(scope: Scope, receive: Receive, send: Send) -> None:
    """Do the same with pure Python."""
    until = time.perf_counter() + BLOCKED_SECONDS
    while scope.get("path") == "/block" and time.perf_counter() < until:
        cpu_bound.work(cpu_bound.TURNS)
    await hello.app(scope, receive, send)
