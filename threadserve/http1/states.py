"""The states of an HTTP/1.1 connection: those of its reading and those of its closing.

Names only; docs/architecture.md draws their transitions. See `threadserve.http.states` for why the constants are plain
integers.
"""

from enum import IntEnum


class Reading(IntEnum):
    """The part of a request that is read next."""

    HEAD = 0
    """The head of the next request, once the client takes what is written."""
    BODY = 1
    """The body of the request in flight."""
    AWAIT_RESPONSE = 2
    """Nothing, before the response to the request in flight is complete."""


class Closing(IntEnum):
    """The connection's progress towards its end."""

    OPEN = 0
    FLUSHING = 1
    """No further request is read; what is queued is still written."""
    LINGERING = 2
    """What the client still sends is read past, so that closing does not cost it the answer (RFC 9112 section 9.6)."""
    CLOSED = 3
    UPGRADED = 4
    """Another protocol has the transport."""
    RELEASED = 5
    """The connection goes on without this object: the acceptor has it, until its next request comes."""


READ_HEAD = Reading.HEAD.value
READ_BODY = Reading.BODY.value
AWAIT_RESPONSE = Reading.AWAIT_RESPONSE.value

OPEN = Closing.OPEN.value
FLUSHING = Closing.FLUSHING.value
LINGERING = Closing.LINGERING.value
CLOSED = Closing.CLOSED.value
UPGRADED = Closing.UPGRADED.value
RELEASED = Closing.RELEASED.value
