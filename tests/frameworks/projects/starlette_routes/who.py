"""Says in each response who has answered."""

import secrets
import threading
from contextvars import ContextVar

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

instance = secrets.token_hex()
path: ContextVar[str] = ContextVar("path")


class WhoAnswers:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-thread"], headers["x-instance"] = threading.current_thread().name, instance
            await send(message)

        if scope["type"] == "http":
            path.set(scope["path"])
        await self.app(scope, receive, send_with_headers)
