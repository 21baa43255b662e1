"""Immortal functions and constants: on free-threaded Python no thread counts references to them.

The Python form, which has nothing to do, of `immortal.pyx`. Runs on the thread that has just imported them; keeps
nothing.
"""


def immortalize_functions() -> None:
    """Do nothing: Python makes its own functions immortal itself."""


def immortalize_constants() -> None:
    """Do nothing: an interpreter that is slow anyway has more to count."""
