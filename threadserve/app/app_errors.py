"""Errors raised by an application's code: put into one line, or shown without the server's frames.

Runs on the loop thread where the application raised. It owns nothing and never logs.
"""

import asyncio
import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import StackSummary, TracebackException

from threadserve.app.hints import MAIN_THREAD_HINT, find_hint
from threadserve.errors import AppImportFailed, AppLoadError
from threadserve.runtime.forms import PACKAGE_FOLDER
from threadserve.runtime.signals import is_signal_interrupt

# The files of the code that imports an application, which are left out of its traceback.
LOADER_PATHS = (f"{PACKAGE_FOLDER}{os.sep}", f"{Path(importlib.__file__).parent}{os.sep}", "<frozen importlib")


@contextmanager
def wrap_app_errors(sentence: str, hint: Callable[[BaseException], str] = lambda error: "") -> Iterator[None]:
    """Turn what the application's code raises within the block into `AppImportFailed`.

    Its message is "`sentence`: the error in one line", followed by what `hint` returns. `AppLoadError` passes, and so
    does the KeyboardInterrupt of a signal handler.
    """
    try:
        yield
    except AppLoadError:
        raise
    except BaseException as error:
        if is_signal_interrupt(error):
            raise
        ending = f". {MAIN_THREAD_HINT}" if find_hint(error) == MAIN_THREAD_HINT else ""
        raise AppImportFailed(f"{sentence}: {format_error(error)}{hint(error)}{ending}") from error


def is_coroutine_closing(error: BaseException, task: asyncio.Task[object] | None) -> bool:
    """Return whether an error only says that a coroutine is being closed, not raised by the application itself.

    An application raises GeneratorExit itself only while its task runs; `task` is None in the task's first step.
    """
    if not isinstance(error, GeneratorExit) or task is None:
        return False
    return asyncio.current_task(task.get_loop()) is not task


def format_error(error: BaseException) -> str:
    """Return an exception's type and the first line of its text, even if its text cannot be read."""
    text = str(TracebackException.from_exception(error, limit=0, lookup_lines=False)).strip()
    kind = type(error).__qualname__
    return f"{kind}: {text.splitlines()[0]}" if text else kind


def format_app_traceback(error: BaseException) -> str:
    """Return the traceback of an application's error without the frames that loaded the application."""
    report = TracebackException.from_exception(error)
    report.stack = StackSummary.from_list(
        [frame for frame in report.stack if not frame.filename.startswith(LOADER_PATHS)]
    )
    return "".join(report.format())
