"""The observer of a server's life: what Gunicorn's worker and a supervisor's worker do at its events.

An observer's methods run on the server's thread.
"""

import socket

from threadserve.runtime.signals import STOP_SIGNALS, UPKEEP_SIGNALS

HEARTBEAT_SECONDS = 1.0


class Observer:
    """Follows a server's life; this one does nothing. Its methods are called on the server's thread."""

    # True if another process reports for the server, and decides about its end.
    is_supervised = False
    # The socket by which that process asks for the server's status, to answer at the admin address itself.
    status_socket: socket.socket | None = None
    stop_signals: tuple[int, ...] = STOP_SIGNALS
    upkeep_signals: tuple[int, ...] = UPKEEP_SIGNALS
    # The seconds between two calls of `on_heartbeat` while the server serves.
    interval = HEARTBEAT_SECONDS

    def on_serving(self) -> None:
        """Take note that connections are accepted from now on."""

    def on_heartbeat(self, *, is_alive: bool) -> None:
        """Take note that the server's thread is alive: called every `interval` seconds at least.

        `is_alive` tells that at least one loop is alive as well.
        """

    def on_limit(self) -> bool:
        """Return whether to stop, as the process has reached a limit. May be called again."""
        return True
