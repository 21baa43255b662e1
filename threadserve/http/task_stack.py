"""Where a task stands that waits.

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

# What coroutines and generators, Cython's too, have: what they wait for, and their frames.
AWAITED = ("cr_await", "ag_await", "gi_yieldfrom")
FRAMES = ("cr_frame", "ag_frame", "gi_frame")
# Whose iterators tell nothing of what they stand for, and what that may be.
OPAQUE = frozenset({"builtins", "_asyncio"})
BEHIND = (CoroutineType, AsyncGeneratorType, GeneratorType, asyncio.Task)
# A chain may be as deep as recursion gets; the log shows its end.
DEEPEST = 1000
SHOWN = 100
PACKAGE = Path(__file__).parents[1]
# What waits on behalf of an application. Code that is compiled has names of files that begin with the package's.
NOT_THEIRS = str(Path(asyncio.__file__).parent), str(PACKAGE), f"{PACKAGE.name}/"


def format_task_stack(task: "asyncio.Task[Any] | None") -> str:
    """Ends a sentence about a task that waits with where that is, as a traceback shows it; its first frame is ours."""
    frames = list(walk_frames(task))[1:]
    if not frames:
        return "where it cannot be told."
    told = traceback.StackSummary.from_list(frames[-SHOWN:]).format()
    return f"at:\n{''.join(told).rstrip()}"


def walk_frames(task: "asyncio.Task[Any] | None") -> Iterator[tuple[str, int, str, None]]:
    """File, line and function of each coroutine that waits for the next, the outermost first.

    `Task.get_stack` knows of no other than that.
    """
    at: Any = task
    for _ in range(DEEPEST):
        at = next_awaited(at)
        if at is None:
            return
        frame = first_attribute(at, FRAMES)
        if frame is not None:
            yield frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_name, None


def next_awaited(at: Any) -> Any:
    """What a task, a coroutine, or what stands for one waits for, or None where that cannot be told."""
    if isinstance(at, asyncio.Task):
        return at.get_coro()
    if any(hasattr(at, name) for name in AWAITED):
        return first_attribute(at, AWAITED)
    if type(at).__module__ not in OPAQUE:
        return None
    return next((each for each in gc.get_referents(at) if isinstance(each, BEHIND)), None)


def first_attribute(at: Any, names: tuple[str, ...]) -> Any:
    """The first of these attributes that there is and is not None."""
    return next((value for name in names if (value := getattr(at, name, None)) is not None), None)


def format_app_line(task: "asyncio.Task[Any] | None") -> str:
    """The innermost line of the application's at which a task waits, or "" where there is none."""
    theirs = [frame for frame in walk_frames(task) if not frame[0].startswith(NOT_THEIRS)]
    return 'File "{}", line {}, in {}'.format(*theirs[-1]) if theirs else ""
