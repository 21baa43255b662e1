"""The states of an exchange: those of its request and those of its response.

Names only; docs/architecture.md draws their transitions. The constants are plain integers, of which all threads share
one each: the references of an enum's members would be counted by every thread for every request.
"""

from enum import IntEnum


class RequestState(IntEnum):
    """The progress of the request."""

    BODY_EXPECTED = 0
    """More of the body is to come."""
    BODY_COMPLETE = 1
    """All of it has arrived, or there is none."""
    DISCARDING = 2
    """The response is complete: what still comes is read past."""
    DISCONNECTED = 3
    """The client sends no more."""


class ResponseState(IntEnum):
    """The progress of the response."""

    NOT_STARTED = 0
    HEAD_HELD = 1
    """The head is kept back until the first of the body tells how long that is."""
    HEAD_SENT = 2
    """The head has been sent without it, for the body is late."""
    BODY = 3
    TRAILERS = 4
    COMPLETE = 5
    ABORTED = 6
    """The client went before the response was complete."""


BODY_EXPECTED = RequestState.BODY_EXPECTED.value
BODY_COMPLETE = RequestState.BODY_COMPLETE.value
DISCARDING = RequestState.DISCARDING.value
DISCONNECTED = RequestState.DISCONNECTED.value

NOT_STARTED = ResponseState.NOT_STARTED.value
HEAD_HELD = ResponseState.HEAD_HELD.value
HEAD_SENT = ResponseState.HEAD_SENT.value
BODY = ResponseState.BODY.value
TRAILERS = ResponseState.TRAILERS.value
COMPLETE = ResponseState.COMPLETE.value
ABORTED = ResponseState.ABORTED.value
