"""What an application's code raises, put into one line.

Runs on whichever loop thread the application raised on. It owns nothing; it never logs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import TracebackException

from threadserve.errors import AppImportFailed, AppLoadError


@contextmanager
def application_code(sentence: str) -> Iterator[None]:
    """Around code of the application: turns what it raises into `AppImportFailed`, "sentence: the error in one line".

    KeyboardInterrupt is the user's and goes through.
    """
    try:
        yield
    except (AppLoadError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise AppImportFailed(f"{sentence}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """An exception's type and the first line of its text, even if its text cannot be had."""
    text = str(TracebackException.from_exception(error, limit=0, lookup_lines=False)).strip()
    kind = type(error).__qualname__
    return f"{kind}: {text.splitlines()[0]}" if text else kind
