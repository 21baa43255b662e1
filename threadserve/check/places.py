"""Where in the project something has happened, in files that are neither a library's nor the server's.

Runs on whichever thread asks. It owns nothing, and reads tracebacks and frames only.
"""

import gc
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import Any

from threadserve.check.findings import Place
from threadserve.instances.project import INTERPRETER, PACKAGE_FOLDERS

PACKAGE = Path(__file__).parents[1]
LINE_OF_TRACEBACK = re.compile(r'^ *File "(.+)", line (\d+)', re.MULTILINE)
# How many things may await one another before it is taken for a circle.
MOST_AWAITED = 1000


def is_of_project(file: str) -> bool:
    """Whether a file, as frames name it, is one that the application's author can change."""
    path = Path(file)
    if not path.is_absolute() or PACKAGE_FOLDERS.intersection(path.parts):
        return False
    return not any(path.is_relative_to(place) for place in (PACKAGE, *INTERPRETER))


def place_of_error(error: BaseException | None) -> Place | None:
    """The last line of the project that an error has passed; of a SyntaxError the line that is wrong."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    # What came first is what is wrong.
    for each in reversed(chain):
        if isinstance(each, SyntaxError) and each.filename and is_of_project(each.filename):
            return Place(each.filename, each.lineno)
        passed = ((frame.f_code.co_filename, line) for frame, line in walk_tb(each.__traceback__))
        if (place := last_of_project(passed)) is not None:
            return place
    return None


def place_in_text(text: str) -> Place | None:
    """The same of an error of which only the traceback's text is left."""
    return last_of_project((file, int(line)) for file, line in LINE_OF_TRACEBACK.findall(text))


def place_of_frame(frame: FrameType | None) -> Place | None:
    """The line of the project where a thread is."""
    while frame is not None:
        if is_of_project(frame.f_code.co_filename):
            return Place(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return None


def place_of_awaiting(coroutine: Any) -> Place | None:
    """The line of the project where a coroutine that is suspended waits."""
    return last_of_project((frame.f_code.co_filename, frame.f_lineno) for frame in frames_awaiting(coroutine))


def frames_awaiting(awaited: Any) -> Iterator[FrameType]:
    """The frames of a coroutine that is suspended, and of those that it awaits."""
    for _ in range(MOST_AWAITED):
        if inspect.iscoroutine(awaited):
            frame, awaited = awaited.cr_frame, awaited.cr_await
        elif inspect.isgenerator(awaited):
            frame, awaited = awaited.gi_frame, awaited.gi_yieldfrom
        elif inspect.isasyncgen(awaited):
            frame, awaited = awaited.ag_frame, awaited.ag_await
        else:
            # What a step of an asynchronous generator is awaited by does not tell whose step it is.
            steps = [held for held in gc.get_referents(awaited) if inspect.isasyncgen(held)] if awaited else []
            if len(steps) != 1:
                return
            frame, awaited = None, steps[0]
        if frame is not None:
            yield frame


def last_of_project(passed: Iterable[tuple[str, int | None]]) -> Place | None:
    """The last of some lines that is the project's."""
    own = [Place(file, line) for file, line in passed if is_of_project(file)]
    return own[-1] if own else None
