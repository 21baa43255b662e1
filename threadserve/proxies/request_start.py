"""The time that a request has waited since a proxy took it, by `X-Request-Start`.

Runs on the connection's loop thread; keeps nothing. There is no standard: nginx writes seconds (`t=1700000000.123`),
Heroku's router milliseconds, Apache microseconds (`t=1700000000123456`), all of them since the epoch.
"""

import re

REQUEST_START_FIELD = b"x-request-start"

_stamp = re.compile(rb"\s*(?:t=)?([0-9]{1,20}(?:\.[0-9]{1,9})?)\s*")
# Larger numbers are not seconds, or milliseconds, before some thousand years have passed.
MAX_SECONDS = 1e11
MAX_MILLISECONDS = 1e14
# No request has waited for so long: the number is no time, or another request's.
MAX_WAIT_SECONDS = 86400.0


def read_queue_time(value: bytes, now: float) -> float | None:
    """Return the seconds between a field's value and `now`, in seconds of the epoch; None for an invalid value.

    0 where the proxy's clock is ahead of ours.
    """
    stamp = _stamp.fullmatch(value)
    if stamp is None:
        return None
    began = float(stamp[1])
    if began > MAX_MILLISECONDS:
        began /= 1e6
    elif began > MAX_SECONDS:
        began /= 1e3
    seconds = max(0.0, now - began)
    return seconds if seconds <= MAX_WAIT_SECONDS else None
