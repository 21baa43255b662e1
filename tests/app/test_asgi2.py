"""ASGI 2 applications behind the adapter."""

import asyncio
from typing import Any

from threadserve.app.asgi2 import ASGI2Adapter


def test_scope_then_receive_and_send() -> None:
    seen: list[Any] = []

    class App:
        def __init__(self, scope: Any) -> None:
            seen.append(scope)

        async def __call__(self, receive: Any, send: Any) -> None:
            await send(await receive())

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        seen.append(message)

    scope: dict[str, Any] = {"type": "http", "path": "/", "asgi": {"version": "3.0", "spec_version": "2.4"}}
    asyncio.run(ASGI2Adapter(App)(scope, receive, send))
    assert seen == [
        {"type": "http", "path": "/", "asgi": {"version": "2.0", "spec_version": "2.4"}},
        {"type": "http.request"},
    ]
    assert scope["asgi"]["version"] == "3.0", "the server's own"
