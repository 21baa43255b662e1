"""What an application's code raises, put into one line, or shown without the server's part of it.

Runs on whichever loop thread the application raised on. It owns nothing; it never logs.
"""

import asyncio
import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import StackSummary, TracebackException
from typing import Any

from threadserve.app.hints import MAIN_THREAD_HINT, find_hint
from threadserve.errors import AppImportFailed, AppLoadError
from threadserve.runtime.signals import comes_of_signal

PACKAGE_FOLDER = Path(__file__).parents[1]

# Where the code that imports an application lives, which its traceback need not show.
LOADER_PATHS = (f"{PACKAGE_FOLDER}{os.sep}", f"{Path(importlib.__file__).parent}{os.sep}", "<frozen importlib")


@contextmanager
def wrap_app_errors(sentence: str, hint: Callable[[BaseException], str] = lambda error: "") -> Iterator[None]:
    """Around code of the application: turns what it raises into `AppImportFailed`, "sentence: the error in one line".

    `hint` returns what that line ends with. The KeyboardInterrupt of a handler of a signal goes through.
    """
    try:
        yield
    except AppLoadError:
        raise
    except BaseException as error:
        if comes_of_signal(error):
            raise
        ending = f". {MAIN_THREAD_HINT}" if find_hint(error) == MAIN_THREAD_HINT else ""
        raise AppImportFailed(f"{sentence}: {format_error(error)}{hint(error)}{ending}") from error


def is_coroutine_closing(error: BaseException, task: asyncio.Task[Any] | None) -> bool:
    """Whether an error is that a coroutine is closed, which its task, None in its first step, will not go on with.

    An application that raises GeneratorExit does so while its task runs.
    """
    if not isinstance(error, GeneratorExit) or task is None:
        return False
    return asyncio.current_task(task.get_loop()) is not task


def format_error(error: BaseException) -> str:
    """An exception's type and the first line of its text, even if its text cannot be had."""
    text = str(TracebackException.from_exception(error, limit=0, lookup_lines=False)).strip()
    kind = type(error).__qualname__
    return f"{kind}: {text.splitlines()[0]}" if text else kind


def format_app_traceback(error: BaseException) -> str:
    """The traceback of an application's error, without the frames that loaded the application."""
    report = TracebackException.from_exception(error)
    report.stack = StackSummary.from_list(
        [frame for frame in report.stack if not frame.filename.startswith(LOADER_PATHS)]
    )
    return "".join(report.format())
