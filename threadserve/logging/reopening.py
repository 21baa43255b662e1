"""Reopening of log files, after logrotate or somebody else has moved them away.

Runs on the thread that asks, which is the server's after a signal. It owns nothing: a handler's stream is changed under
the handler's own lock, which blocks whoever logs meanwhile.
"""

import logging
from collections.abc import Iterator
from logging.handlers import WatchedFileHandler

from threadserve.logging.formatters import iterate_loggers
from threadserve.logging.wording import format_count

logger = logging.getLogger("threadserve.error")


def reopen_log_files() -> None:
    """Reopen the file of every handler of any logger; a file that cannot be opened is logged."""
    reopened = 0
    for handler in list_file_handlers():
        try:
            reopened += reopen_file(handler)
        except OSError as error:
            logger.error("The log file %s cannot be reopened: %s", handler.baseFilename, error.strerror or error)
    if reopened:
        logger.info("Reopened %s.", format_count(reopened, "log file"))


def reopen_file(handler: logging.FileHandler) -> bool:
    """Reopen a handler's file; return whether it was open. Raises `OSError`, with the old file kept."""
    handler.acquire()
    try:
        before = handler.stream
        if before is None:
            return False
        mode = handler.mode
        # A file that nobody has moved away keeps its content.
        handler.mode = f"a{mode.lstrip('awx')}"
        try:
            handler.stream = handler._open()
        finally:
            handler.mode = mode
        before.close()
        if isinstance(handler, WatchedFileHandler):
            handler._statstream()
    finally:
        handler.release()
    return True


def list_file_handlers() -> list[logging.FileHandler]:
    """Return the handlers that write to files, each one once."""
    own = [handler for each in iterate_loggers() for handler in each.handlers]
    found = dict.fromkeys(target for handler in own for target in iterate_targets(handler))
    return [handler for handler in found if isinstance(handler, logging.FileHandler)]


def iterate_targets(handler: logging.Handler) -> Iterator[logging.Handler]:
    """Yield a handler and those that it passes records to: from its memory, or through the listener of its queue."""
    yield handler
    listener = getattr(handler, "listener", None)
    for behind in (getattr(handler, "target", None), *getattr(listener, "handlers", ())):
        if isinstance(behind, logging.Handler):
            yield from iterate_targets(behind)
