"""Where in the project something has happened, in files that are neither a library's nor the server's.

Runs on whichever thread asks. It owns nothing, and reads tracebacks only, and frames of its own loop's tasks.
"""

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path
from traceback import walk_tb
from typing import Any

from threadserve.check.findings import SourceLocation
from threadserve.http.task_stack import walk_frames
from threadserve.instances.project import INTERPRETER_FOLDERS, PACKAGE_FOLDERS

PACKAGE_FOLDER = Path(__file__).parents[1]
TRACEBACK_LINE = re.compile(r'^ *File "(.+)", line (\d+)', re.MULTILINE)


def is_project_file(file: str) -> bool:
    """Whether a file, as frames name it, is one that the application's author can change."""
    path = Path(file)
    if not path.is_absolute() or PACKAGE_FOLDERS.intersection(path.parts):
        return False
    return not any(path.is_relative_to(place) for place in (PACKAGE_FOLDER, *INTERPRETER_FOLDERS))


def locate_error(error: BaseException | None) -> SourceLocation | None:
    """The last line of the project that an error has passed; of a SyntaxError the line that is wrong."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    # What came first is what is wrong.
    for each in reversed(chain):
        if isinstance(each, SyntaxError) and each.filename and is_project_file(each.filename):
            return SourceLocation(each.filename, each.lineno)
        passed = ((frame.f_code.co_filename, line) for frame, line in walk_tb(each.__traceback__))
        if (place := find_last_project_line(passed)) is not None:
            return place
    return None


def locate_in_text(text: str) -> SourceLocation | None:
    """The same of an error of which only the traceback's text is left."""
    return find_last_project_line((file, int(line)) for file, line in TRACEBACK_LINE.findall(text))


def locate_task(task: "asyncio.Task[Any]") -> SourceLocation | None:
    """The line of the project where a task of the running loop waits."""
    return find_last_project_line((file, line) for file, line, *_ in walk_frames(task))


def find_last_project_line(passed: Iterable[tuple[str, int | None]]) -> SourceLocation | None:
    """The last of some lines that is the project's."""
    own = [SourceLocation(file, line) for file, line in passed if is_project_file(file)]
    return own[-1] if own else None
