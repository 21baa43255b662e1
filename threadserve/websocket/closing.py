"""The codes with which WebSockets end (RFC 6455 section 7.4).

Runs on any thread; keeps nothing.
"""

from typing import Any

from wsproto.frame_protocol import CloseReason

NORMAL = 1000
ABNORMAL = 1006
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012
# All that are defined, but 1004.
CLOSE_CODES = (range(1000, 1004), range(1005, 1016), range(3000, 5000))
# Section 7.4.1: these say that there was no close frame with a code, so none is sent.
LOCAL_CODES = frozenset({CloseReason.NO_STATUS_RCVD, CloseReason.ABNORMAL_CLOSURE, CloseReason.TLS_HANDSHAKE_FAILED})


def close_code(code: Any) -> int:
    """A code to close with, whatever class it is of.

    Raises `ValueError` where an application may not close with it (section 7.4, and what IANA added).
    """
    for allowed in CLOSE_CODES:
        if code in allowed:
            return allowed[allowed.index(code)]
    raise ValueError(f"invalid close code: {code!r}")
