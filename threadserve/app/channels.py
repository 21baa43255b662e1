"""An adapter for the interface of 2018: `async def app(message, channels)`, as Uvicorn 0.0.15 called it.

Runs on the loop thread whose application it wraps. It owns the tasks that call the application for the messages of a
WebSocket. A message is a dict whose `channel` says its kind; channels send and receive while it is handled.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from threadserve.app.hints import add_hint
from threadserve.errors import ClientDisconnected
from threadserve.types import Message, Receive, Scope, Send

logger = logging.getLogger("threadserve.error")

Channels = dict[str, "ReplyChannel | BodyChannel | WebSocketReplyChannel"]
ChannelsApp = Callable[[Message, Channels], Awaitable[None]]

SCOPE_KEYS = ("server", "client", "scheme", "http_version", "path", "query_string", "root_path")
# So many calls for one WebSocket run at a time; no further message is read while they do.
MAX_CALLS = 32
CLOSE_NORMAL = 1000
CLOSE_INTERNAL_ERROR = 1011


class ChannelsAdapter:
    """An ASGI 3 application made of one of this interface, which has HTTP and WebSockets but no lifespan."""

    def __init__(self, app: ChannelsApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or a WebSocket with one call of the application for each message."""
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
    """The response: its status and headers with the first message, then any amount of content."""

    def __init__(self, send: Send) -> None:
        self.name = f"reply:{id(self)}"
        self._send = send

    async def send(self, message: Message) -> None:
        """Send `status` and `headers`, or `content`, or all of them; `more_content` announces further content.

        Raises what ASGI's `send` raises.
        """
        if message.get("status") is not None:
            start = {"status": message["status"], "headers": [tuple(pair) for pair in message.get("headers", ())]}
            await self._send({"type": "http.response.start", **start})
        content, more = message.get("content", b""), message.get("more_content", False)
        await self._send({"type": "http.response.body", "body": content, "more_body": more})


class BodyChannel:
    """The body of a request. Requests without one have no such channel."""

    def __init__(self, receive: Receive) -> None:
        self.name = f"body:{id(self)}"
        self._receive = receive

    async def receive(self) -> Message:
        """Return the next `content`, and `more_content` if there will be more.

        Raises `ClientDisconnected` when the client has gone or the response is complete.
        """
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected("the client has disconnected")
        return {"content": message["body"], "more_content": message["more_body"]}


class WebSocketReplyChannel:
    """Sends to the client of a WebSocket. `send` may be awaited on any thread once the WebSocket is accepted."""

    def __init__(self, send: Send) -> None:
        self.name = f"reply:{id(self)}"
        self._send = send
        self._is_accepted = False

    async def send(self, message: Message) -> None:
        """Send `accept`, which `text` and `bytes` imply, then these, then `close`: True, or a close code.

        Raises what ASGI's `send` raises.
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
    """The calls of an application for one WebSocket, which run concurrently as they did in Uvicorn."""

    def __init__(self, app: ChannelsApp, scope: Scope, send: Send) -> None:
        self._app = app
        self._scope = scope
        self._reply = WebSocketReplyChannel(send)
        self._calls: set[asyncio.Task[None]] = set()

    async def serve(self, receive: Receive) -> None:
        """Call the application for every message; return when the last of these calls has ended."""
        order = 0
        try:
            while not self._start_call(await receive(), order):
                order += 1
                while len(self._calls) >= MAX_CALLS:
                    await asyncio.wait(self._calls, return_when=asyncio.FIRST_COMPLETED)
            if self._calls:
                await asyncio.wait(self._calls)
        finally:
            for call in self._calls:
                call.cancel()

    def _start_call(self, event: Message, order: int) -> bool:
        """Start the call for a message; return whether it is the last."""
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

    async def _call(self, message: Message) -> None:
        """Call the application. An error closes the WebSocket, and the application still gets the disconnect."""
        try:
            await self._app(message, {"reply": self._reply})
        except ClientDisconnected:
            return
        except Exception as error:
            logger.error("Exception in ASGI application", exc_info=add_hint(error))
            with suppress(ClientDisconnected, RuntimeError):
                # The WebSocket may be closed already.
                await self._reply.send({"close": CLOSE_INTERNAL_ERROR})


def build_message(scope: Scope, channel: str, method: str) -> Message:
    """Return the message that begins a request or a WebSocket."""
    message: Message = {key: scope[key] for key in SCOPE_KEYS}
    headers = [[name, value] for name, value in scope["headers"]]
    return {"channel": channel, "method": method, **message, "headers": headers}


def has_body(scope: Scope) -> bool:
    """Return whether a request announces a body (RFC 9112 section 6.3)."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and int(value) > 0)
        for name, value in scope["headers"]
    )
