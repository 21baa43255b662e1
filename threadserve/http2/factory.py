"""The factory of a loop's connections that may speak HTTP/2.

Runs on the loop's thread, once. It is imported only where HTTP/2 is enabled, because the library h2 takes memory.
"""

from threadserve.config import Config
from threadserve.http.context import LoopContext
from threadserve.http.peer import ConnectionFactory
from threadserve.http2.connection import H2Connection
from threadserve.http2.context import HTTP2Context
from threadserve.http2.negotiation import ProtocolDetector
from threadserve.proxies.protocol import ProxiedAddresses
from threadserve.tls.certificates import LoopTls


def http2_connection_factory(config: Config, context: LoopContext, make_http1: ConnectionFactory) -> ConnectionFactory:
    """Return a factory of connections that may speak HTTP/2; `make_http1` makes those that do not."""
    http2 = HTTP2Context(config)
    context.ticker.tick_callbacks.append(http2.formatter.refresh_date)

    def make_http2(proxied_addresses: ProxiedAddresses | None, tls: LoopTls | None) -> H2Connection:
        return H2Connection(context, http2, proxied_addresses, tls)

    def make(proxied_addresses: ProxiedAddresses | None, tls: LoopTls | None) -> ProtocolDetector:
        return ProtocolDetector(context, make_http1, make_http2, proxied_addresses, tls)

    return make
