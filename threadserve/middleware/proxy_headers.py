"""The middleware for the headers of trusted proxies, for programs that add it to an application themselves.

Runs on the loop thread whose application it wraps; it owns its list of trusted hosts. The server does the same without
it, where `proxy_headers` is on.
"""

from collections.abc import Sequence

from threadserve.proxies.forwarded import DEFAULT_FIELDS, TrustedHosts, parse_field_names, read_forwarded
from threadserve.types import ASGIApp, Receive, Scope, Send


class ProxyHeadersMiddleware:
    """An ASGI 3 application that calls another with the client, scheme and host that trusted proxies tell.

    `trusted_hosts` are those of `TrustedHosts`; `forwarded_headers` names the header fields that count, as
    `parse_field_names` takes them, where `DEFAULT_FIELDS` are not those that the proxies write. Raises `ValueError` for
    an invalid network or field.
    """

    def __init__(
        self,
        app: ASGIApp,
        trusted_hosts: str | Sequence[str] = "127.0.0.1",
        forwarded_headers: str | Sequence[str] | None = None,
    ) -> None:
        self.app = app
        self._trusted = TrustedHosts(trusted_hosts)
        self._trusted_fields = DEFAULT_FIELDS if forwarded_headers is None else parse_field_names(forwarded_headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application with a scope in which the header fields have been applied."""
        if scope["type"] != "lifespan" and self._trusted.trusts_peer(scope.get("client"), scope.get("server")):
            forwarded = read_forwarded(scope["headers"], self._trusted, self._trusted_fields)
            if forwarded is not None:
                forwarded.apply(scope)
        await self.app(scope, receive, send)
