"""Duplicate log handlers of an application that is loaded once per thread, while loggers belong to the process.

Runs on the loop thread that loads a further instance, under the lock of `app.loading`. It removes handlers from
loggers; it never adds one, and never touches those that were there before.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from threadserve.logging.formatters import iterate_loggers


@contextmanager
def without_duplicate_handlers() -> Iterator[None]:
    """Remove the handlers that loading a further instance adds, where the logger has one of their kind.

    The first instance has added the same one, and each line would be written twice. A logger that was given other
    handlers in place of those it had, as `logging.config` does, keeps them.
    """
    before = {logger: list(logger.handlers) for logger in iterate_loggers()}
    try:
        yield
    finally:
        removed = [handler for logger, handlers in before.items() for handler in _remove_duplicates(logger, handlers)]
        in_use = [handler for logger in iterate_loggers() for handler in logger.handlers]
        for handler in removed:
            if handler not in in_use:
                handler.close()


def _remove_duplicates(logger: logging.Logger, before: list[logging.Handler]) -> list[logging.Handler]:
    """Remove from a logger, and return, what was added to its handlers and is of the same kind as one of them."""
    if not all(handler in logger.handlers for handler in before):
        return []
    kinds = [type(handler) for handler in before]
    duplicates = [handler for handler in logger.handlers if handler not in before and type(handler) in kinds]
    for handler in duplicates:
        logger.removeHandler(handler)
    return duplicates
