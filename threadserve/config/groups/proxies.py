"""Servers in front of this one. Declarations only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from threadserve.config.checks import texts
from threadserve.config.declaring import setting


@dataclass(eq=False, kw_only=True)
class Proxies:
    """Whom to believe about where a request comes from."""

    heading: ClassVar = "Proxies"

    proxy_headers: bool = setting(True, "Believe trusted proxies' X-Forwarded-* and Forwarded headers.")
    forwarded_allow_ips: str | Sequence[str] | None = setting(
        None,
        "Trusted proxies: addresses, networks and Unix sockets, with commas between; * is all.",
        check=texts,
        metavar="LIST",
        shown_default="$FORWARDED_ALLOW_IPS or 127.0.0.1,::1",
    )
    proxy_protocol: bool = setting(False, "Demand a PROXY header, version 1 or 2, on each connection.")
