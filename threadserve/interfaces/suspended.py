"""Where a task waits, as a stack: from the coroutine that it runs to what that awaits, and so on.

Runs on the thread of the task's loop, for nobody else may read the frames. `Task.get_stack` tells of the outermost
coroutine alone.
"""

import asyncio
from pathlib import Path
from typing import Any

# What waits on behalf of an application.
NOT_THEIRS = str(Path(asyncio.__file__).parent), str(Path(__file__).parents[1])
# By what a coroutine, a generator and an asynchronous generator tell what they are at, and what they wait for.
KINDS = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))


def frames_of(awaited: Any) -> list[tuple[str, int, str]]:
    """File, line and function of each coroutine or generator, the outermost first."""
    frames: list[tuple[str, int, str]] = []
    while awaited is not None:
        kind = next((kind for kind in KINDS if hasattr(awaited, kind[0])), None)
        if kind is None:
            break
        frame, awaited = getattr(awaited, kind[0]), getattr(awaited, kind[1])
        if frame is not None:
            frames.append((frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
    return frames


def place_of(task: "asyncio.Task[Any] | None") -> str:
    """The innermost line of the application's at which a task waits, or "" where there is none."""
    frames = frames_of(task.get_coro()) if task is not None else []
    theirs = [frame for frame in frames if not frame[0].startswith(NOT_THEIRS)]
    return 'File "{}", line {}, in {}'.format(*theirs[-1]) if theirs else ""
