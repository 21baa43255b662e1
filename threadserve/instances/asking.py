"""Whose copy of a module is meant where one is asked for by its name.

Asked on every thread. A thread that is to serve enters its instance, and threads that it starts follow it. Lookups take
no lock: what they read is written before anybody can ask for it.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any, Protocol

ATTRIBUTE = "threadserve_instance"
ASKING_FRAME = 3


class Copies(Protocol):
    """One instance's copies of the project's modules."""

    def copy_of(self, name: str) -> ModuleType:
        """The copy of a module, which is loaded if it has not been. Raises what that raises."""
        ...

    def load(self, name: str) -> ModuleType:
        """The same, for the import system, which passes on what is raised."""
        ...

    def known(self, name: str) -> ModuleType | None:
        """The copy of a module where there is one."""
        ...


# By the identity of a copy's globals, whose it is. The copies live as long as they are in here.
owners: dict[int, Copies] = {}
_entered: ContextVar[Copies | None] = ContextVar("threadserve_instance", default=None)


def enter(copies: Copies) -> None:
    """Makes an instance that of the current context, and of the thread, whose callbacks may have another context."""
    _entered.set(copies)
    setattr(threading.current_thread(), ATTRIBUTE, copies)


@contextmanager
def asking_as(copies: Copies) -> Iterator[None]:
    """Has libraries that are called within this ask on behalf of an instance."""
    token = _entered.set(copies)
    try:
        yield
    finally:
        _entered.reset(token)


def follow(started: threading.Thread) -> None:
    """Makes the instance of whoever starts a thread that of the thread: contexts are not inherited on every build."""
    if (copies := asker()) is not None:
        setattr(started, ATTRIBUTE, copies)


def asker() -> Copies | None:
    """The instance of the code that asks, or None if it belongs to none. It has called what has called the caller.

    If that is the project's own code, the copy that it was executed in is meant; a library asks on behalf of the
    instance that has called it.
    """
    caller: dict[str, Any] = sys._getframe(ASKING_FRAME).f_globals
    copies = owners.get(id(caller)) or _entered.get()
    return copies if copies is not None else getattr(threading.current_thread(), ATTRIBUTE, None)


def forget_all() -> None:
    """Has no thread belong to an instance any longer."""
    for thread in threading.enumerate():
        vars(thread).pop(ATTRIBUTE, None)
