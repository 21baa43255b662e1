"""What an exchange sees of its connection.

Runs on the connection's loop thread; declares a surface and holds nothing.
"""

from typing import Any, Protocol


class Outlet(Protocol):
    """The connection, seen from an exchange and its two sides."""

    transport: Any
    write_paused: bool

    def write(self, data: bytes) -> None:
        """Queues bytes for the client."""
        ...

    async def drained(self) -> None:
        """Returns when the client has taken enough of what is queued, or is gone."""
        ...

    def on_response_complete(self, exchange: Any) -> None:
        """The last byte of the response of this exchange, the current one, has been queued."""
        ...

    def pause_reading(self) -> None:
        """Leaves further bytes of the client in the kernel."""
        ...

    def resume_reading(self) -> None:
        """Reads on."""
        ...

    def close(self) -> None:
        """Closes the connection once what is queued has been written."""
        ...
