"""Where in the code a thread has used what belongs to another thread's loop.

Runs on the thread that does so, and looks at that thread's frames alone.
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

logger = logging.getLogger("threadserve.error")

SERVER = f"{Path(__file__).parents[1]}{os.sep}"
ASYNCIO = f"{Path(asyncio.__file__).parent}{os.sep}"
# Where a loop begins to run something: what is further out has not asked for it.
RUNNERS = frozenset({"Handle._run", "Runner.run"})

Place = tuple[str, int]


class ForeignPlaces:
    """The places that were logged, each once. All threads share it, and only by what `dict.setdefault` guarantees: of
    several threads that set the same key at once, one is the first.
    """

    def __init__(self) -> None:
        self._first: dict[Place | None, object] = {}

    def report(self, method: str, owner: str, caller: FrameType | None) -> None:
        """Logs that the calling thread has used an object of the thread `owner`, on whose loop this calls a method.

        `caller` has called the method: asyncio most often, on behalf of the first frame outside.
        """
        outside = next(frames_outside(caller), None)
        nearest = outside or next(frames_outwards(caller), None)
        place = place_of(nearest) if nearest else None
        me = object()
        if self._first.setdefault(place, me) is not me:
            return
        logger.warning(
            "%s was called on thread %s for the event loop of thread %s%s. The loop was woken, but asyncio's objects "
            "belong to one thread, and break when two change them at once. Use loop.call_soon_threadsafe or "
            "asyncio.run_coroutine_threadsafe, or make one object per thread. Logged once for this place.",
            called_by(caller) or method,
            threading.current_thread().name,
            owner,
            f", in {described(place)}{by_project(caller, outside)}" if place else "",
        )


def frames_outwards(caller: FrameType | None) -> Iterator[FrameType]:
    """A frame and those that led to it, up to where a loop runs something."""
    while caller is not None and not is_runner(caller):
        yield caller
        caller = caller.f_back


def frames_outside(caller: FrameType | None) -> Iterator[FrameType]:
    """Those frames that are neither asyncio's nor the server's."""
    return (frame for frame in frames_outwards(caller) if not is_in(frame, ASYNCIO, SERVER))


def called_by(caller: FrameType | None) -> str:
    """Which function of asyncio's was called from outside, or "" if it was none."""
    name = ""
    for frame in frames_outwards(caller):
        if not is_in(frame, ASYNCIO):
            break
        name = frame.f_code.co_qualname
    return name.replace("BaseEventLoop.", "loop.")


def by_project(caller: FrameType | None, outside: FrameType | None) -> str:
    """Where the project has called the library that the place is in, if that is so."""
    project = next((frame for frame in frames_outside(caller) if not is_librarys(frame)), None)
    if project is None or project is outside:
        return ""
    return f" (called from {described(place_of(project))})"


def described(place: Place) -> str:
    """A place with its source, where that can be had."""
    file, line = place
    source = linecache.getline(file, line).strip()
    return f"{file}, line {line}" + (f": {source}" if source else "")


def is_runner(frame: FrameType) -> bool:
    """Whether it is a loop that has called what is in the frames before this one."""
    return frame.f_code.co_qualname in RUNNERS and is_in(frame, ASYNCIO)


def is_librarys(frame: FrameType) -> bool:
    """Whether a frame's code lies where libraries do."""
    return is_library_module(frame.f_globals.get("__name__", ""))


def is_in(frame: FrameType, *folders: str) -> bool:
    """Whether a frame's code comes from one of these folders."""
    return frame.f_code.co_filename.startswith(folders)


def place_of(frame: FrameType) -> Place:
    """The file and the line that a frame is at."""
    return frame.f_code.co_filename, frame.f_lineno
