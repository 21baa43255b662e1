"""Rate limits for frames that cost a client nothing (RFC 9113 section 10.5).

A budget belongs to one connection, on its loop's thread. It only counts.
"""

from h2.errors import ErrorCodes

from threadserve.http.deadlines import Deadlines
from threadserve.http2.errors import H2ConnectionError

# The most that a client may save up of what it earns, in budgets.
MAX_SAVED_BUDGETS = 10


class Budget:
    """The number of times that a client may do something within `seconds`, on average over any longer time.

    `name` names it in the log.
    """

    __slots__ = ("_deadlines", "_limit", "_name", "_seconds", "_since", "_spent")

    def __init__(self, limit: int, seconds: float, name: str, deadlines: Deadlines) -> None:
        self._limit = limit
        self._seconds = seconds
        self._name = name
        self._deadlines = deadlines
        self._since = deadlines.now
        self._spent = 0

    def spend(self) -> None:
        """Count one use. Raises `H2ConnectionError` when the budget is exceeded."""
        self._spent += 1
        if self._spent > self._limit:
            self._start_period()

    def _start_period(self) -> None:
        now = self._deadlines.now
        if now - self._since < self._seconds:
            reason = f"more than {self._limit} {self._name} in {self._seconds:g} seconds"
            raise H2ConnectionError(ErrorCodes.ENHANCE_YOUR_CALM, reason)
        self._since = now
        self._spent = 1

    def earn(self, count: int) -> None:
        """Allow `count` more uses, now or later, because the client has good reason for them."""
        self._spent = max(self._spent - count, -MAX_SAVED_BUDGETS * self._limit)
