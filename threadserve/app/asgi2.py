"""An adapter for ASGI 2 applications, which are called with the scope and then with receive and send.

Runs on the loop thread whose application it wraps. It owns nothing and never looks at a message.
"""

from threadserve.types import ASGI2App, Receive, Scope, Send


class ASGI2Adapter:
    """An ASGI 3 application made of an ASGI 2 one."""

    def __init__(self, app: ASGI2App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection. The scope says that the version is ASGI 2 (ASGI 2.0, "Connection Scope")."""
        instance = self.app({**scope, "asgi": {**scope["asgi"], "version": "2.0"}})
        await instance(receive, send)
