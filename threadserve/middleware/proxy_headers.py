"""The headers of trusted proxies, for programs that put this in front of an application by themselves.

Runs on the loop thread whose application it wraps; it owns its list of trusted hosts. The server does the same without
it, where `proxy_headers` is on.
"""

from collections.abc import Sequence

from threadserve.proxies.forwarded import BELIEVED, TrustedHosts, believed_fields, read_forwarded
from threadserve.types import ASGIApp, Receive, Scope, Send


class ProxyHeadersMiddleware:
    """An ASGI 3 application that has another see the client, scheme and host that trusted proxies tell.

    `trusted_hosts` are those of `TrustedHosts`; `forwarded_headers` names the header fields that are believed, as
    `believed_fields` takes them, where those of `BELIEVED` are not what these proxies write. Raises `ValueError` for a
    network or a field that is none.
    """

    def __init__(
        self,
        app: ASGIApp,
        trusted_hosts: str | Sequence[str] = "127.0.0.1",
        forwarded_headers: str | Sequence[str] | None = None,
    ) -> None:
        self.app = app
        self._trusted = TrustedHosts(trusted_hosts)
        self._believed = BELIEVED if forwarded_headers is None else believed_fields(forwarded_headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection, in whose scope it changes what the header fields tell."""
        if scope["type"] != "lifespan" and self._trusted.trusts_peer(scope.get("client"), scope.get("server")):
            forwarded = read_forwarded(scope["headers"], self._trusted, self._believed)
            if forwarded is not None:
                forwarded.apply(scope)
        await self.app(scope, receive, send)
