"""Servers in front of this one. Declarations only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from threadserve.config.checks import header_names, trusted_hosts
from threadserve.config.declaring import setting


@dataclass(eq=False, kw_only=True)
class Proxies:
    """Whom to believe about where a request comes from."""

    heading: ClassVar = "Proxies"

    proxy_headers: bool = setting(True, "Believe trusted proxies' headers.")
    forwarded_allow_ips: str | Sequence[str] | None = setting(
        None,
        "Trusted proxies: addresses, networks and Unix sockets, with commas between; * is all.",
        check=trusted_hosts,
        metavar="LIST",
        shown_default="$FORWARDED_ALLOW_IPS or 127.0.0.1,::1",
    )
    forwarded_headers: str | Sequence[str] = setting(
        "Forwarded, X-Forwarded-For, X-Forwarded-Proto",
        "Believe these of a trusted proxy's headers. There are also X-Forwarded-Host, -Port and -Prefix: name them "
        "where the proxy sets them itself, for others pass on what a client sends.",
        check=header_names,
        metavar="LIST",
    )
    proxy_protocol: bool = setting(False, "Demand a PROXY header, version 1 or 2, on each connection.")
