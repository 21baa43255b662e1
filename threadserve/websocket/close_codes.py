"""The codes with which WebSockets end (RFC 6455 section 7.4).

Runs on any thread. Keeps no state.
"""

from wsproto.frame_protocol import CloseReason

NORMAL_CLOSURE = CloseReason.NORMAL_CLOSURE.value
ABNORMAL_CLOSURE = CloseReason.ABNORMAL_CLOSURE.value
INTERNAL_ERROR = CloseReason.INTERNAL_ERROR.value
SERVICE_RESTART = CloseReason.SERVICE_RESTART.value
# All defined codes, but 1004.
CLOSE_CODES = (range(1000, 1004), range(1005, 1016), range(3000, 5000))
# Section 7.4.1: these codes mean that no close frame with a code was received, so they are not sent.
LOCAL_CODES = frozenset({CloseReason.NO_STATUS_RCVD, CloseReason.ABNORMAL_CLOSURE, CloseReason.TLS_HANDSHAKE_FAILED})


def check_close_code(code: int) -> int:
    """Return a code to close with as a plain int.

    Raises `ValueError` where an application may not close with it (section 7.4, and IANA's registry).
    """
    for allowed in CLOSE_CODES:
        if code in allowed:
            return allowed[allowed.index(code)]
    raise ValueError(f"invalid close code: {code!r}")
