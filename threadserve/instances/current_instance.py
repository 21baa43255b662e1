"""The current instance: the one whose copy is meant where code asks for a module by its name.

Asked on every thread. A thread that serves sets its instance, and threads that it starts inherit it. Lookups take no
lock, because what they read is written before any code can ask for it.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType, ModuleType
from typing import Protocol

THREAD_ATTRIBUTE = "threadserve_instance"


class ProjectInstance(Protocol):
    """One instance's copies of the project's modules."""

    def import_copy(self, name: str) -> ModuleType:
        """Return the copy of a module for an import, loading it if necessary. Raises what the module's code raises."""
        ...

    def get_copy(self, name: str) -> ModuleType:
        """Return the copy of a module for attribute access; `CopyError` stands for an AttributeError of its code."""
        ...

    def forget_copy(self, name: str) -> None:
        """Forget the copy of a module that was removed from `sys.modules`, so that the next import loads it again."""
        ...

    def find_copy(self, name: str) -> ModuleType | None:
        """Return the copy of a module if it is loaded."""
        ...


# The instance of a copy, by the identity of the copy's globals, which an instance keeps alive as long as it is in here.
instances_by_globals: dict[int, ProjectInstance] = {}
_context_instance: ContextVar[ProjectInstance | None] = ContextVar("threadserve_instance", default=None)


def set_current_instance(instance: ProjectInstance) -> None:
    """Set the instance of the current context and thread; the thread's callbacks may have another context."""
    _context_instance.set(instance)
    setattr(threading.current_thread(), THREAD_ATTRIBUTE, instance)


@contextmanager
def use_in_context(instance: ProjectInstance) -> Iterator[None]:
    """Use an instance within the block, so that libraries called there ask for its copies."""
    token = _context_instance.set(instance)
    try:
        yield
    finally:
        _context_instance.reset(token)


@contextmanager
def use_in_thread(instance: ProjectInstance) -> Iterator[None]:
    """Use an instance within the block, in the context and on the thread."""
    thread = vars(threading.current_thread())
    before = thread.get(THREAD_ATTRIBUTE)
    thread[THREAD_ATTRIBUTE] = instance
    try:
        with use_in_context(instance):
            yield
    finally:
        if before is None:
            del thread[THREAD_ATTRIBUTE]
        else:
            thread[THREAD_ATTRIBUTE] = before


def inherit_instance(started: threading.Thread, instance: ProjectInstance | None) -> None:
    """Give a thread the instance of the code that starts it: contexts are not inherited on every build."""
    if instance is not None:
        setattr(started, THREAD_ATTRIBUTE, instance)


def find_calling_instance(depth: int) -> ProjectInstance | None:
    """Return the instance of the code `depth` calls above the caller, or None.

    For the project's own code that is the instance of the copy it was executed in. For a library it is the instance of
    the context or the thread. Where these have none, as on a thread made by C code, it is that of the nearest calling
    code of the project.
    """
    frame = _get_frame(depth + 3)
    if frame is not None and (instance := instances_by_globals.get(id(frame.f_globals))) is not None:
        return instance
    instance = _context_instance.get()
    if instance is None:
        instance = getattr(threading.current_thread(), THREAD_ATTRIBUTE, None)
    while instance is None and frame is not None:
        instance = instances_by_globals.get(id(frame.f_globals))
        frame = frame.f_back
    return instance


def _get_frame(depth: int) -> FrameType | None:
    try:
        return sys._getframe(depth)
    except ValueError:
        # A thread that was not started by Python code has fewer frames.
        return None


def clear_thread_instances() -> None:
    """Remove the instance of every thread."""
    for thread in threading.enumerate():
        vars(thread).pop(THREAD_ATTRIBUTE, None)
