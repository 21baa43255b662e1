"""WebSockets. Declarations only."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from threadserve.config.checks import at_least, between, installed
from threadserve.config.declaring import LONGEST_TIMEOUT, setting


@dataclass(eq=False, kw_only=True)
class WebSockets:
    """The WebSocket protocol (RFC 6455)."""

    heading: ClassVar = "WebSockets"

    ws: Literal["auto", "wsproto", "websockets", "websockets-sansio", "none"] = setting(
        "auto",
        "WebSocket implementation; auto is wsproto, and none serves no WebSockets.",
        check=installed({"websockets": "websockets", "websockets-sansio": "websockets"}),
    )
    ws_max_size: int = setting(
        16 * 1024 * 1024, "Largest message that a client may send.", check=at_least(1), metavar="BYTES"
    )
    ws_max_queue: int = setting(32, "Messages of a client that may wait for the application.", check=at_least(1))
    ws_ping_interval: float | None = setting(
        20, "Send a ping this often; 0 sends none.", check=between(0, LONGEST_TIMEOUT)
    )
    ws_ping_timeout: float | None = setting(
        20, "Give up a client that does not answer a ping for this long; 0 waits.", check=between(0, LONGEST_TIMEOUT)
    )
    ws_per_message_deflate: bool = setting(True, "Compress messages where the client can (RFC 7692).", takes_value=True)
