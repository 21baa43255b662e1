"""Applications of the first interface, of 2018: `async def app(message, channels)`, as Uvicorn 0.0.15 called them.

Runs on the loop thread whose application it wraps; it owns the calls for the messages of a WebSocket. A message is a
dict whose `channel` says what it is about, and channels are what can be sent to or received from while it is handled.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from threadserve.app.hints import add_hint
from threadserve.errors import ClientDisconnected
from threadserve.types import Message, Receive, Scope, Send

logger = logging.getLogger("threadserve.error")

Channels = dict[str, Any]
ChannelsApp = Callable[[dict[str, Any], Channels], Awaitable[None]]

SCOPE_KEYS = ("server", "client", "scheme", "http_version", "path", "query_string", "root_path")
# Calls for messages of one WebSocket at a time; whoever has more at work has no further message read.
MAX_CALLS = 32
CLOSE_NORMAL = 1000
CLOSE_INTERNAL_ERROR = 1011


class ChannelsAdapter:
    """An ASGI 3 application made of one of the first interface, which knows HTTP and WebSockets and no lifespan."""

    def __init__(self, app: ChannelsApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request, or a WebSocket, for each of whose messages the application is called anew."""
        if scope["type"] == "http":
            await self._serve_request(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketCalls(self.app, scope, send).serve(receive)
        else:
            raise RuntimeError(f"the interface 'channels' has no {scope['type']}")

    async def _serve_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        channels: Channels = {"reply": ReplyChannel(send)}
        if has_body(scope):
            channels["body"] = BodyChannel(receive)
        await self.app(build_message(scope, "http.request", scope["method"]), channels)


class ReplyChannel:
    """The response: its status and headers with the first message, and then as much content as there is."""

    def __init__(self, send: Send) -> None:
        self.name = f"reply:{id(self)}"
        self._send = send

    async def send(self, message: Message) -> None:
        """Takes `status` and `headers`, or `content`, or all; `more_content` says that more of the latter will come.

        Raises what `send` of ASGI raises.
        """
        if message.get("status") is not None:
            start = {"status": message["status"], "headers": [tuple(pair) for pair in message.get("headers", ())]}
            await self._send({"type": "http.response.start", **start})
        content, more = message.get("content", b""), message.get("more_content", False)
        await self._send({"type": "http.response.body", "body": content, "more_body": more})


class BodyChannel:
    """The body of a request, which only a request that announces one has."""

    def __init__(self, receive: Receive) -> None:
        self.name = f"body:{id(self)}"
        self._receive = receive

    async def receive(self) -> Message:
        """Returns the next `content` and whether there is `more_content`.

        Raises `ClientDisconnected` when the client has gone, or the response is complete.
        """
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected("the client has disconnected")
        return {"content": message["body"], "more_content": message["more_body"]}


class WebSocketReplyChannel:
    """The way back to the client of a WebSocket. `send` may be awaited on any thread once it is accepted."""

    def __init__(self, send: Send) -> None:
        self.name = f"reply:{id(self)}"
        self._send = send
        self._is_accepted = False

    async def send(self, message: Message) -> None:
        """Takes `accept`, which `text` or `bytes` imply, then those, then `close`: True, or the code to close with.

        Raises what `send` of ASGI raises.
        """
        accept, close = message.get("accept"), message.get("close")
        data = {key: message[key] for key in ("text", "bytes") if message.get(key)}
        if not self._is_accepted:
            if accept is False:
                data, close = {}, True
            elif accept or data:
                self._is_accepted = True
                await self._send({"type": "websocket.accept"})
        if data:
            await self._send({"type": "websocket.send", **data})
        if close:
            await self._send({"type": "websocket.close", "code": CLOSE_NORMAL if close is True else close})


class WebSocketCalls:
    """The calls of an application for one WebSocket, which run side by side as Uvicorn had them run."""

    def __init__(self, app: ChannelsApp, scope: Scope, send: Send) -> None:
        self._app = app
        self._scope = scope
        self._reply = WebSocketReplyChannel(send)
        self._calls: set[asyncio.Task[None]] = set()

    async def serve(self, receive: Receive) -> None:
        """Has the application called for every message, and returns when the last of these calls has."""
        order = 0
        try:
            while not self._begin(await receive(), order):
                order += 1
                while len(self._calls) >= MAX_CALLS:
                    await asyncio.wait(self._calls, return_when=asyncio.FIRST_COMPLETED)
            if self._calls:
                await asyncio.wait(self._calls)
        finally:
            for call in self._calls:
                call.cancel()

    def _begin(self, event: Message, order: int) -> bool:
        """Begins the call for a message; returns whether it is the last."""
        kind: str = event["type"]
        path = self._scope["path"]
        if kind == "websocket.connect":
            message = build_message(self._scope, kind, "GET")
        elif kind == "websocket.receive":
            message = {"channel": kind, "path": path, "text": event.get("text"), "bytes": event.get("bytes")}
        else:
            message = {"channel": kind, "path": path, "code": event["code"]}
        call = asyncio.create_task(self._call({**message, "order": order}))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return kind == "websocket.disconnect"

    async def _call(self, message: dict[str, Any]) -> None:
        """Calls the application. What it raises ends the WebSocket, of which it is still told."""
        try:
            await self._app(message, {"reply": self._reply})
        except ClientDisconnected:
            return
        except Exception as error:
            logger.error("Exception in ASGI application", exc_info=add_hint(error))
            with suppress(ClientDisconnected, RuntimeError):
                # It may be closed already.
                await self._reply.send({"close": CLOSE_INTERNAL_ERROR})


def build_message(scope: Scope, channel: str, method: str) -> dict[str, Any]:
    """The message with which a request or a WebSocket begins."""
    message: dict[str, Any] = {key: scope[key] for key in SCOPE_KEYS}
    headers = [[name, value] for name, value in scope["headers"]]
    return {"channel": channel, "method": method, **message, "headers": headers}


def has_body(scope: Scope) -> bool:
    """Whether a request announces a body (RFC 9112 section 6.3)."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and int(value) > 0)
        for name, value in scope["headers"]
    )
