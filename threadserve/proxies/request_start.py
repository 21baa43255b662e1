"""For how long a request has waited since the proxy in front took it: what `X-Request-Start` tells.

Runs on the connection's loop thread; keeps nothing. There is no standard: nginx writes seconds (`t=1700000000.123`),
Heroku's router milliseconds, Apache microseconds (`t=1700000000123456`), all of them since the epoch.
"""

import re

FIELD = b"x-request-start"

_stamp = re.compile(rb"\s*(?:t=)?([0-9]{1,20}(?:\.[0-9]{1,9})?)\s*")
# What is larger is no time in seconds, or in milliseconds, for thousands of years.
MOST_SECONDS = 1e11
MOST_MILLISECONDS = 1e14
# No request has waited for so many seconds: it is another's time, or none.
LONGEST_WAIT = 86400.0


def waited(value: bytes, now: float) -> float | None:
    """The seconds from what a field's value says to `now`, in seconds of the epoch; None where it says no such time.

    Where the proxy's clock is ahead of ours there are none.
    """
    stamp = _stamp.fullmatch(value)
    if stamp is None:
        return None
    began = float(stamp[1])
    if began > MOST_MILLISECONDS:
        began /= 1e6
    elif began > MOST_SECONDS:
        began /= 1e3
    seconds = max(0.0, now - began)
    return seconds if seconds <= LONGEST_WAIT else None
