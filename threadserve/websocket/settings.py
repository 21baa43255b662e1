"""The settings that the WebSockets of one loop share.

Made by the loop's thread when it starts, and read by it alone.
"""

from dataclasses import dataclass

from threadserve.config import Config
from threadserve.websocket.masking import Unmask, make_unmask


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """The size limit of messages in bytes, that of their queue, and how to compress and unmask them."""

    max_size: int
    max_queue: int
    deflate: bool
    unmask: Unmask


def make_session_settings(config: Config) -> SessionSettings:
    """Return the settings for one loop. Raises `ConfigError` if a configured library is missing."""
    # New int objects for each loop: threads would contend for the reference counts of shared ones.
    return SessionSettings(
        config.ws_max_size + 0, config.ws_max_queue + 0, config.ws_per_message_deflate, make_unmask(config.ws)
    )
