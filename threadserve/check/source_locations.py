"""Locations in the project's source: in files that belong neither to a library nor to the server.

Runs on any thread. It owns nothing, and reads only tracebacks, and frames of its own loop's tasks.
"""

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path
from traceback import walk_tb

from threadserve.check.findings import SourceLocation
from threadserve.http.task_stack import walk_frames
from threadserve.instances.project import INTERPRETER_FOLDERS, PACKAGE_FOLDERS
from threadserve.runtime.forms import PACKAGE_FOLDER

TRACEBACK_LINE = re.compile(r'^ *File "(.+)", line (\d+)', re.MULTILINE)


def is_project_file(file: str) -> bool:
    """Return whether a file, as named in frames, is one that the application's author can change."""
    path = Path(file)
    if not path.is_absolute() or PACKAGE_FOLDERS.intersection(path.parts):
        return False
    return not any(path.is_relative_to(place) for place in (PACKAGE_FOLDER, *INTERPRETER_FOLDERS))


def locate_error(error: BaseException | None) -> SourceLocation | None:
    """Return the last line of the project in an error's traceback, or the wrong line of a SyntaxError."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    # The earliest error of a chain is the cause.
    for each in reversed(chain):
        if isinstance(each, SyntaxError) and each.filename and is_project_file(each.filename):
            return SourceLocation(each.filename, each.lineno)
        passed = ((frame.f_code.co_filename, line) for frame, line in walk_tb(each.__traceback__))
        if (place := find_last_project_line(passed)) is not None:
            return place
    return None


def locate_in_text(text: str) -> SourceLocation | None:
    """Return the last place of the project in the text of a traceback, or None."""
    return find_last_project_line((file, int(line)) for file, line in TRACEBACK_LINE.findall(text))


def locate_task(task: "asyncio.Task[object]") -> SourceLocation | None:
    """Return the line of the project where a task of the running loop waits."""
    return find_last_project_line((file, line) for file, line, *_ in walk_frames(task))


def find_last_project_line(passed: Iterable[tuple[str, int | None]]) -> SourceLocation | None:
    """Return the last of these lines that is the project's."""
    own = [SourceLocation(file, line) for file, line in passed if is_project_file(file)]
    return own[-1] if own else None
