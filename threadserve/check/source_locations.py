"""Where in the project something has happened, in files that are neither a library's nor the server's.

Runs on whichever thread asks. It owns nothing, and reads tracebacks only, and frames of its own loop's tasks.
"""

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path
from traceback import walk_tb
from typing import Any

from threadserve.check.findings import Place
from threadserve.http.suspended import frames_of
from threadserve.instances.project import INTERPRETER, PACKAGE_FOLDERS

PACKAGE = Path(__file__).parents[1]
LINE_OF_TRACEBACK = re.compile(r'^ *File "(.+)", line (\d+)', re.MULTILINE)


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


def place_of_task(task: "asyncio.Task[Any]") -> Place | None:
    """The line of the project where a task of the running loop waits."""
    return last_of_project((file, line) for file, line, *_ in frames_of(task))


def last_of_project(passed: Iterable[tuple[str, int | None]]) -> Place | None:
    """The last of some lines that is the project's."""
    own = [Place(file, line) for file, line in passed if is_of_project(file)]
    return own[-1] if own else None
