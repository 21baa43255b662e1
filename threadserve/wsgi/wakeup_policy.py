"""The decision when an idle pool thread is woken for a call in the queue.

Runs on whichever thread holds the pool's mutex, which guards it. It knows of no thread and no call.

Waking a thread takes a system call, and the thread gets a processor some 50 us later, often in place of the thread that
woke it or of a client. So threads are woken one at a time, and each wakes the next if more calls wait than it can take.
And while calls are short, as most are whose data is at hand, a running thread returns for the next call before another
would be awake: no thread is woken then. That is a guess, so the submitter rechecks a moment later, and has a thread
woken where the guess was wrong.
"""

from math import inf

# Calls are short while their average duration is below this. A longer call counts as `MAX_COUNTED_SECONDS`, so that a
# few dozen short calls outweigh it.
SHORT_CALL_SECONDS = 0.000_12
MAX_COUNTED_SECONDS = 0.000_3
AVERAGE_WEIGHT = 1 / 16
# The time within which a running thread is expected to return for the next call.
EXPECTED_RETURN_SECONDS = 0.000_5


class WakeupPolicy:
    """The recent durations of a pool's calls. Times are those of `time.monotonic`.

    `has_short_calls` says that recent calls were short, and is False at first.
    """

    __slots__ = ("_average", "_latest_began", "has_short_calls", "is_wakeup_pending")

    def __init__(self) -> None:
        self._average = SHORT_CALL_SECONDS
        self._latest_began = -inf
        self.has_short_calls = False
        # True between waking a thread and its look at the queue.
        self.is_wakeup_pending = False

    def on_call_start(self, now: float) -> None:
        """Record that a thread starts a call."""
        self._latest_began = now

    def on_call_end(self, began: float, now: float) -> None:
        """Record that a thread returns from the call that it started at `began`."""
        took = now - began
        if took > MAX_COUNTED_SECONDS:
            took = MAX_COUNTED_SECONDS
        self._average += (took - self._average) * AVERAGE_WEIGHT
        self.has_short_calls = self._average < SHORT_CALL_SECONDS
        if began == self._latest_began:
            # The thread that was expected to return first has returned.
            self._latest_began = -inf

    def on_delay(self) -> None:
        """Record that a call was not taken in time: the running calls are long, and the next may be too."""
        self._average = MAX_COUNTED_SECONDS
        self.has_short_calls = False

    def expects_return(self, now: float) -> bool:
        """Return whether a running thread will return before an idle one would be awake."""
        return self.has_short_calls and now - self._latest_began < EXPECTED_RETURN_SECONDS
