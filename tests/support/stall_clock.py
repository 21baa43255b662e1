"""The time by which loops are stalled, for tests in which nothing is to happen because the system was slow."""

from threadserve.threads.distribution import STALL


class StallClock:
    """Time that passes only when a test says so."""

    now = 0.0

    def monotonic(self) -> float:
        """What the hand-over asks for."""
        return self.now

    def pass_stall(self) -> None:
        """Whatever has been given to a loop has lain there for too long now."""
        self.elapse(2 * STALL)

    def elapse(self, seconds: float) -> None:
        """So much time passes."""
        self.now += seconds
