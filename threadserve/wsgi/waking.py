"""When a thread that sleeps is woken for a call that waits in the queue.

Runs on whichever thread holds the pool's lock, which guards it; knows of no thread and no call.

To wake a thread takes a system call, and the thread gets a processor some 50 us later, from which it often drives the
one that woke it, or a client. So nobody is woken in vain: one at a time, which wakes the next if there is still more to
do than it can take. And while calls are quick, as most are whose data is at hand, a thread that is at a call will be
back for the next before another could be awake: it is left to do them all. That is a guess, and so whoever counts on it
looks back a moment later, and has one woken where the guess was wrong.
"""

from math import inf

# Calls are quick while one takes less than this on the average, in seconds; longer ones count as no more than
# `LONGEST_COUNTED`, so that a few dozen quick ones are enough to forget a slow one.
QUICK = 0.000_12
LONGEST_COUNTED = 0.000_3
WEIGHT = 1 / 16
# For how long a thread that is at a call is expected to come back for the next.
BACK_SOON = 0.000_5


class WakingPolicy:
    """What a pool has learnt about its calls. Times are `time.monotonic`'s.

    `is_quick` says that calls have been quick of late. It is at first assumed that they are not.
    """

    __slots__ = ("_average", "_latest_began", "is_quick", "is_waking")

    def __init__(self) -> None:
        self._average = QUICK
        self._latest_began = -inf
        self.is_quick = False
        # Whether a thread has been woken that has not looked at the queue yet.
        self.is_waking = False

    def on_began(self, now: float) -> None:
        """A thread has begun a call."""
        self._latest_began = now

    def on_ended(self, began: float, now: float) -> None:
        """A thread has come back from a call that it began at that time."""
        took = now - began
        if took > LONGEST_COUNTED:
            took = LONGEST_COUNTED
        self._average += (took - self._average) * WEIGHT
        self.is_quick = self._average < QUICK
        if began == self._latest_began:
            # The thread that was back soonest is.
            self._latest_began = -inf

    def on_held_up(self) -> None:
        """A call was not taken as soon as it should be: those under way are slow, and so will be the next."""
        self._average = LONGEST_COUNTED
        self.is_quick = False

    def is_taken_soon(self, now: float) -> bool:
        """Whether a thread that is at a call will be back before another would be awake."""
        return self.is_quick and now - self._latest_began < BACK_SOON
