"""Whose copy of a module is meant where one is asked for by its name.

Asked on every thread. A thread that is to serve enters its instance, and threads that it starts follow it. Lookups take
no lock: what they read is written before anybody can ask for it.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType, ModuleType
from typing import Protocol

THREAD_ATTRIBUTE = "threadserve_instance"


class ModuleCopies(Protocol):
    """One instance's copies of the project's modules."""

    def imported(self, name: str) -> ModuleType:
        """The copy of a module, for who imports it: loaded if it has not been. Raises what that raises."""
        ...

    def copy_of(self, name: str) -> ModuleType:
        """The same, for who asks a module for an attribute. Raises no AttributeError, but that as a `CopyError`."""
        ...

    def known(self, name: str) -> ModuleType | None:
        """The copy of a module where there is one."""
        ...


# By the identity of a copy's globals, whose it is. The copies live as long as they are in here.
instances_by_globals: dict[int, ModuleCopies] = {}
_context_instance: ContextVar[ModuleCopies | None] = ContextVar("threadserve_instance", default=None)


def set_current_instance(copies: ModuleCopies) -> None:
    """Makes an instance that of the current context, and of the thread, whose callbacks may have another context."""
    _context_instance.set(copies)
    setattr(threading.current_thread(), THREAD_ATTRIBUTE, copies)


@contextmanager
def use_in_context(copies: ModuleCopies) -> Iterator[None]:
    """Has libraries that are called within this ask on behalf of an instance."""
    token = _context_instance.set(copies)
    try:
        yield
    finally:
        _context_instance.reset(token)


@contextmanager
def use_in_thread(copies: ModuleCopies) -> Iterator[None]:
    """Makes an instance that of the current thread for a while, as `set_current_instance` does."""
    thread = vars(threading.current_thread())
    before = thread.get(THREAD_ATTRIBUTE)
    thread[THREAD_ATTRIBUTE] = copies
    try:
        with use_in_context(copies):
            yield
    finally:
        if before is None:
            del thread[THREAD_ATTRIBUTE]
        else:
            thread[THREAD_ATTRIBUTE] = before


def inherit_instance(started: threading.Thread, copies: ModuleCopies | None) -> None:
    """Makes the instance of whoever starts a thread that of the thread: contexts are not inherited on every build."""
    if copies is not None:
        setattr(started, THREAD_ATTRIBUTE, copies)


def find_calling_instance(depth: int) -> ModuleCopies | None:
    """The instance of the code that asks, or None if it belongs to none: so many calls above whoever calls this.

    If that is the project's own code, the copy that it was executed in is meant; a library asks on behalf of the
    instance of its context or thread. Where these have none, as on a thread of C, that of the project's code is meant
    which has called it.
    """
    frame = _get_frame(depth + 3)
    if frame is not None and (copies := instances_by_globals.get(id(frame.f_globals))) is not None:
        return copies
    copies = _context_instance.get()
    if copies is None:
        copies = getattr(threading.current_thread(), THREAD_ATTRIBUTE, None)
    while copies is None and frame is not None:
        copies = instances_by_globals.get(id(frame.f_globals))
        frame = frame.f_back
    return copies


def _get_frame(depth: int) -> FrameType | None:
    try:
        return sys._getframe(depth)
    except ValueError:
        # A thread that was not started by Python code may ask.
        return None


def clear_thread_instances() -> None:
    """Has no thread belong to an instance any longer."""
    for thread in threading.enumerate():
        vars(thread).pop(THREAD_ATTRIBUTE, None)
