"""Garbage collection of a process that is there to serve. Runs on the thread that calls."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from threadserve.runtime.signals import is_main_thread


@contextmanager
def gc_freeze() -> Iterator[Callable[[], None]]:
    """Provide a function that exempts every existing object from garbage collections; the end of the context undoes
    that.

    The function does nothing unless this is the main thread: on another one the server is not the process's only task.
    """
    is_main = is_main_thread()
    frozen = False

    def freeze() -> None:
        nonlocal frozen
        if is_main:
            frozen = True
            gc.collect()
            gc.freeze()

    try:
        yield freeze
    finally:
        if frozen:
            gc.unfreeze()
