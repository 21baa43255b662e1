"""The phases of an HTTP/2 connection.

Names only; docs/architecture.md draws how they follow each other. `threadserve.http.states` says why the constants are
plain integers.
"""

from enum import IntEnum


class ConnectionPhase(IntEnum):
    """The phases from serving to closed."""

    OPEN = 0
    DRAINING = 1
    """The client has been told to open no further stream; streams that are under way are still served."""
    FINISHING = 2
    """Further streams are refused; open streams are still served."""
    LINGERING = 3
    """Bytes that the client still sends are read and dropped, so that it does not lose what was sent last."""
    CLOSED = 4


OPEN = ConnectionPhase.OPEN.value
DRAINING = ConnectionPhase.DRAINING.value
FINISHING = ConnectionPhase.FINISHING.value
LINGERING = ConnectionPhase.LINGERING.value
CLOSED = ConnectionPhase.CLOSED.value
