"""The stack of a task that waits.

Runs on the thread of the task's loop, between two of its turns: no frame of the task runs then. It keeps nothing, and
never touches what another thread runs.
"""

import asyncio
import gc
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

from threadserve.runtime.forms import PACKAGE_FOLDER

# Attributes of coroutines and generators, Cython's too: the object that they await, and their frame.
AWAITED_ATTRIBUTES = ("cr_await", "ag_await", "gi_yieldfrom")
FRAME_ATTRIBUTES = ("cr_frame", "ag_frame", "gi_frame")
# Iterators of these modules do not tell what they stand for; it may be one of these types.
OPAQUE_MODULES = frozenset({"builtins", "_asyncio"})
AWAITABLE_TYPES = (CoroutineType, AsyncGeneratorType, GeneratorType, asyncio.Task)
# A chain may be as deep as recursion gets; the log has its end.
MAX_DEPTH = 1000
MAX_FRAMES = 100
# Files of frames that wait on behalf of an application. The file names of compiled code begin with the package's name.
NOT_APP_FILES = str(Path(asyncio.__file__).parent), str(PACKAGE_FOLDER), f"{PACKAGE_FOLDER.name}/"


def format_task_stack(task: "asyncio.Task[object] | None") -> str:
    """Return the end of a sentence about a task that waits: its stack, as a traceback shows it.

    The first frame, which is the server's, is left out.
    """
    frames = list(walk_frames(task))[1:]
    if not frames:
        return "where it cannot be told."
    told = traceback.StackSummary.from_list(frames[-MAX_FRAMES:]).format()
    return f"at:\n{''.join(told).rstrip()}"


def walk_frames(task: "asyncio.Task[object] | None") -> Iterator[tuple[str, int, str, None]]:
    """Yield the file, line and function of each coroutine that waits for the next, the outermost first.

    `Task.get_stack` knows only the outermost.
    """
    at: object = task
    for _ in range(MAX_DEPTH):
        at = next_awaited(at)
        if at is None:
            return
        frame = first_attribute(at, FRAME_ATTRIBUTES)
        if frame is not None:
            yield frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_name, None


def next_awaited(at: object) -> object:
    """Return the object that a task, a coroutine or a wrapper of one awaits, or None where that cannot be told."""
    if isinstance(at, asyncio.Task):
        return at.get_coro()
    if any(hasattr(at, name) for name in AWAITED_ATTRIBUTES):
        return first_attribute(at, AWAITED_ATTRIBUTES)
    if type(at).__module__ not in OPAQUE_MODULES:
        return None
    return next((each for each in gc.get_referents(at) if isinstance(each, AWAITABLE_TYPES)), None)


def first_attribute(at: object, names: tuple[str, ...]) -> Any:
    """Return the first of these attributes that exists and is not None."""
    return next((value for name in names if (value := getattr(at, name, None)) is not None), None)


def format_app_line(task: "asyncio.Task[object] | None") -> str:
    """Return the innermost line of the application at which a task waits, or "" where there is none."""
    theirs = [frame for frame in walk_frames(task) if not frame[0].startswith(NOT_APP_FILES)]
    return 'File "{}", line {}, in {}'.format(*theirs[-1]) if theirs else ""
