"""What the WebSockets of one loop have in common.

Made by the loop's thread when it starts, and read by it alone.
"""

from dataclasses import dataclass

from threadserve.config import Config
from threadserve.websocket.masking import Unmask, unmasker


@dataclass(frozen=True, slots=True)
class WebSocketSettings:
    """How large messages may be, in bytes, how many may wait, whether they may be compressed, and what unmasks them."""

    max_size: int
    max_queue: int
    deflate: bool
    unmask: Unmask


def websocket_settings(config: Config) -> WebSocketSettings:
    """The settings for one loop. Raises `ConfigError` where a library that they name is missing."""
    # Numbers of its own for each loop: threads that share one wait for each other to count its references.
    return WebSocketSettings(
        config.ws_max_size + 0, config.ws_max_queue + 0, config.ws_per_message_deflate, unmasker(config.ws)
    )
