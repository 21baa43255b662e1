"""What every loop uses and nobody frees, exempt from the counting of references on free-threaded Python.

The twin, in Python, of `uncounted.pyx`. Runs on the thread that has just imported such things; keeps nothing.
"""


def exempt_from_counting() -> None:
    """Does nothing: Python exempts its own functions itself."""


def exempt_constants() -> None:
    """Does nothing: an interpreter that is slow anyway has more to count."""
