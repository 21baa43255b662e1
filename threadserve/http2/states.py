"""The states of an HTTP/2 connection on its way to its end.

Names only; docs/architecture.md draws how they follow each other. See `threadserve.http.states` for why the constants
are plain integers.
"""

from enum import IntEnum


class Closing(IntEnum):
    """Whether the connection goes on."""

    OPEN = 0
    DRAINING = 1
    """The client has been told to open no further stream; those that are under way are still served."""
    FINISHING = 2
    """No further stream is served; those that are open are."""
    LINGERING = 3
    """What the client still sends is read past, so that closing does not cost it what was sent last."""
    CLOSED = 4


OPEN = Closing.OPEN.value
DRAINING = Closing.DRAINING.value
FINISHING = Closing.FINISHING.value
LINGERING = Closing.LINGERING.value
CLOSED = Closing.CLOSED.value
