"""Log handlers of an application that is loaded once per thread: its loggers belong to the process.

Runs on the loop thread that loads a further instance, under the lock of `loading`. It takes handlers from loggers; it
never adds one, and never touches those that were there before.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from threadserve.logging.formatters import iterate_loggers


@contextmanager
def without_duplicate_handlers() -> Iterator[None]:
    """Lets what loads a further instance add no handler of a kind that its logger has.

    The first instance has added the same one, and each line would be written twice. A logger that was given other
    handlers in place of those it had, as `logging.config` does, keeps them.
    """
    before = {logger: list(logger.handlers) for logger in iterate_loggers()}
    try:
        yield
    finally:
        taken = [handler for logger, handlers in before.items() for handler in _remove_duplicates(logger, handlers)]
        in_use = [handler for logger in iterate_loggers() for handler in logger.handlers]
        for handler in taken:
            if handler not in in_use:
                handler.close()


def _remove_duplicates(logger: logging.Logger, before: list[logging.Handler]) -> list[logging.Handler]:
    """Takes from a logger what was added to the handlers it had before and is of the same kind as one of them."""
    if not all(handler in logger.handlers for handler in before):
        return []
    kinds = [type(handler) for handler in before]
    twins = [handler for handler in logger.handlers if handler not in before and type(handler) in kinds]
    for handler in twins:
        logger.removeHandler(handler)
    return twins
