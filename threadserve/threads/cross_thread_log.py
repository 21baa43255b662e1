"""The warning about a thread that uses what belongs to another thread's loop, with the place in the code.

Runs on the thread that does so, and reads only that thread's frames.
"""

import asyncio
import linecache
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from threadserve.instances.project import is_library_module
from threadserve.runtime.forms import PACKAGE_FOLDER

logger = logging.getLogger("threadserve.error")

SERVER_FOLDER = f"{PACKAGE_FOLDER}{os.sep}"
ASYNCIO_FOLDER = f"{Path(asyncio.__file__).parent}{os.sep}"
# The functions by which loops run callbacks and tasks: frames further out have not asked for the call.
RUNNERS = frozenset({"Handle._run", "Runner.run"})

CodePlace = tuple[str, int]


class CrossThreadLog:
    """The places that were logged, each once.

    Shared by all threads without a lock: if several of them call `dict.setdefault` with the same key, one is the first.
    """

    def __init__(self) -> None:
        self._first: dict[CodePlace | None, object] = {}

    def report(self, method: str, owner: str, caller: FrameType | None) -> None:
        """Log, once for each place, that the calling thread has called `method` of the loop of the thread `owner`.

        `caller` is the frame that has called the method: mostly asyncio's, on behalf of the first frame outside.
        """
        outside = next(iter_outside_callers(caller), None)
        nearest = outside or next(iter_callers(caller), None)
        place = get_place(nearest) if nearest else None
        me = object()
        if self._first.setdefault(place, me) is not me:
            return
        logger.warning(
            "%s was called on thread %s for the event loop of thread %s%s. The loop was woken, but asyncio's objects "
            "belong to one thread, and break when two change them at once. Use loop.call_soon_threadsafe or "
            "asyncio.run_coroutine_threadsafe, or make one object per thread. Logged once for this place.",
            find_asyncio_function(caller) or method,
            threading.current_thread().name,
            owner,
            f", in {format_place(place)}{format_project_caller(caller, outside)}" if place else "",
        )


def iter_callers(caller: FrameType | None) -> Iterator[FrameType]:
    """Yield a frame and its callers, up to the one where a loop runs something."""
    while caller is not None and not is_runner(caller):
        yield caller
        caller = caller.f_back


def iter_outside_callers(caller: FrameType | None) -> Iterator[FrameType]:
    """Yield those callers that are neither asyncio's nor the server's code."""
    return (frame for frame in iter_callers(caller) if not is_in(frame, ASYNCIO_FOLDER, SERVER_FOLDER))


def find_asyncio_function(caller: FrameType | None) -> str:
    """Return the name of asyncio's function that was called from outside, or "" if it was none."""
    name = ""
    for frame in iter_callers(caller):
        if not is_in(frame, ASYNCIO_FOLDER):
            break
        name = frame.f_code.co_qualname
    return name.replace("BaseEventLoop.", "loop.")


def format_project_caller(caller: FrameType | None, outside: FrameType | None) -> str:
    """Return where the project has called the library that the place is in, or "" if the place is in the project."""
    project = next((frame for frame in iter_outside_callers(caller) if not is_library_frame(frame)), None)
    if project is None or project is outside:
        return ""
    return f" (called from {format_place(get_place(project))})"


def format_place(place: CodePlace) -> str:
    """Return a place with its line of source, if that can be read."""
    file, line = place
    source = linecache.getline(file, line).strip()
    return f"{file}, line {line}" + (f": {source}" if source else "")


def is_runner(frame: FrameType) -> bool:
    """Return whether a frame is where asyncio runs callbacks."""
    return frame.f_code.co_qualname in RUNNERS and is_in(frame, ASYNCIO_FOLDER)


def is_library_frame(frame: FrameType) -> bool:
    """Return whether a frame's code belongs to an installed library."""
    return is_library_module(frame.f_globals.get("__name__", ""))


def is_in(frame: FrameType, *folders: str) -> bool:
    """Return whether a frame's code lies in one of these folders."""
    return frame.f_code.co_filename.startswith(folders)


def get_place(frame: FrameType) -> CodePlace:
    """Return the file and line of a frame."""
    return frame.f_code.co_filename, frame.f_lineno
