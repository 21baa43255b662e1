"""Time that passes only when a test says so, where nothing is to happen because the machine was slow."""

from threadserve.threads.handover import STALL_SECONDS


class Clock:
    """Stands still but for the test. It is asked by a call, as `perf_counter` is."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now

    def elapse(self, seconds: float) -> None:
        """So much time passes."""
        self.now += seconds


class StallClock(Clock):
    """The time by which loops are stalled."""

    def monotonic(self) -> float:
        """What the hand-over asks for."""
        return self.now

    def pass_stall(self) -> None:
        """Whatever has been given to a loop has lain there for too long now."""
        self.elapse(2 * STALL_SECONDS)
