"""How much a client may have a connection do that costs it nothing (RFC 9113 section 10.5).

A budget belongs to one connection, on its loop's thread; it only counts.
"""

from h2.errors import ErrorCodes

from threadserve.http.deadlines import Deadlines
from threadserve.http2.errors import ConnectionFault

# So many budgets a client may save up of what it earns.
SAVED = 10


class Budget:
    """Lets a client do something so many times in so many seconds, on average over any longer time.

    `what` names it in the log.
    """

    __slots__ = ("_deadlines", "_limit", "_seconds", "_since", "_spent", "_what")

    def __init__(self, limit: int, seconds: float, what: str, deadlines: Deadlines) -> None:
        self._limit = limit
        self._seconds = seconds
        self._what = what
        self._deadlines = deadlines
        self._since = deadlines.now
        self._spent = 0

    def spend(self) -> None:
        """The client does it once more. Raises `ConnectionFault` where that is too much."""
        self._spent += 1
        if self._spent > self._limit:
            self._begin_again()

    def _begin_again(self) -> None:
        now = self._deadlines.now
        if now - self._since < self._seconds:
            reason = f"more than {self._limit} {self._what} in {self._seconds:g} seconds"
            raise ConnectionFault(ErrorCodes.ENHANCE_YOUR_CALM, reason)
        self._since = now
        self._spent = 1

    def earn(self, count: int) -> None:
        """The client has good reason to do it so many times more, now or later."""
        self._spent = max(self._spent - count, -SAVED * self._limit)
