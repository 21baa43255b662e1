"""The one error of the load tests."""


class LoadTestError(Exception):
    """A measurement cannot be made; its text is one line that says why."""
