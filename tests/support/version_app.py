"""An application for clients that speak HTTP/2, or for proxies that do: it tells how it was asked."""

import asyncio
import hashlib
import json
from urllib.parse import parse_qs

from support.apps import body, read_body, respond, start

from threadserve.types import Receive, Scope, Send

# What is sent again and again; no part of it is like the one before.
PATTERN = b"".join(b"%07d\n" % number for number in range(8192))


def download(size: int) -> bytes:
    """What `/download?size=SIZE` answers."""
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


def digest(data: bytes) -> str:
    """What `/digest` answers to a body."""
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Has an answer for each of the paths below, and an echo for every WebSocket."""
    if scope["type"] == "websocket":
        await echo_messages(scope, receive, send)
    elif scope["type"] == "http":
        await PATHS[scope["path"]](scope, receive, send)


def number_of(scope: Scope, name: str) -> int:
    """A number out of the query."""
    return int(parse_qs(scope["query_string"].decode()).get(name, ["0"])[0])


def seen(scope: Scope) -> dict[str, object]:
    """What the server has told of a request."""
    return {
        "version": scope["http_version"],
        "scheme": scope["scheme"],
        "client": scope["client"],
        "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
    }


async def answer_hello(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, b"hello", headers=[(b"content-type", b"text/plain")])


async def answer_number(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with `n`, after so many `ms`."""
    await asyncio.sleep(number_of(scope, "ms") / 1000)
    await respond(send, b"%d" % number_of(scope, "n"))


async def answer_seen(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, json.dumps(seen(scope)).encode())


async def answer_digest(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, digest(await read_body(receive)).encode())


async def answer_echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends each part of the body back when it comes."""
    await start(send)
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message.get("more_body", False)
        await body(send, message.get("body", b""), more=more)


async def answer_download(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends `size` bytes, in parts."""
    size = number_of(scope, "size")
    await start(send, headers=[(b"content-length", b"%d" % size)])
    for at in range(0, size, len(PATTERN)):
        await body(send, PATTERN[: size - at], more=True)
    await body(send)


async def answer_trailers(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, trailers=True)
    await body(send, b"checked")
    await send({"type": "http.response.trailers", "headers": [(b"x-checksum", b"42")], "more_trailers": False})


PATHS = {
    "/hello": answer_hello,
    "/number": answer_number,
    "/seen": answer_seen,
    "/digest": answer_digest,
    "/echo": answer_echo,
    "/download": answer_download,
    "/trailers": answer_trailers,
}


async def echo_messages(scope: Scope, receive: Receive, send: Send) -> None:
    """Tells first how it was asked."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": json.dumps(seen(scope))})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        await send({**message, "type": "websocket.send"})
