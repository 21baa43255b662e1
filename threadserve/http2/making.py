"""What makes the connections of a loop that may speak HTTP/2.

Runs on the loop's thread, once. It is imported only where HTTP/2 is asked for: the library takes its memory.
"""

from threadserve.config import Config
from threadserve.http.context import LoopContext
from threadserve.http2.choosing import FirstBytes, MakeConnection
from threadserve.http2.connection import H2Connection
from threadserve.http2.protocol import HTTP2
from threadserve.proxies.protocol import ProxiedAddresses
from threadserve.tls.certificates import LoopTls


def with_http2(config: Config, context: LoopContext, make_http1: MakeConnection) -> MakeConnection:
    """Makes connections that may speak HTTP/2, and are what `make_http1` makes where they do not."""
    http2 = HTTP2(config, context)
    context.ticker.tick_callbacks.append(http2.maker.renew)

    def make_http2(announced: ProxiedAddresses | None, tls: LoopTls | None) -> H2Connection:
        return H2Connection(context, http2, announced, tls)

    def make(announced: ProxiedAddresses | None, tls: LoopTls | None) -> FirstBytes:
        return FirstBytes(context, make_http1, make_http2, announced, tls)

    return make
