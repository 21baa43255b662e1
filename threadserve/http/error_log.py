"""The log of an application's failures.

Runs on the connection's loop thread; keeps nothing.
"""

import asyncio
import logging

from threadserve.app.hints import add_hint
from threadserve.errors import ClientDisconnected

logger = logging.getLogger("threadserve.error")


def log_app_error(error: BaseException, interface: str, *, is_cancelled: bool) -> None:
    """Log what an application raised, unless that follows from its client's leaving or from its own cancelling."""
    if is_cancelled and isinstance(error, asyncio.CancelledError):
        return
    if is_disconnect(error):
        logger.debug("The client of the %s application has gone: %r", interface, error)
        return
    logger.error("Exception in %s application", interface, exc_info=add_hint(error))


def is_disconnect(error: BaseException | None, seen: frozenset[int] = frozenset()) -> bool:
    """Return whether an exception is `ClientDisconnected`, has one as its cause or context, or is a group of only such.

    `seen` holds the ids of those that led here: an exception taken out of a group and raised again has that group as
    its context.
    """
    while error is not None and id(error) not in seen:
        if isinstance(error, ClientDisconnected):
            return True
        seen |= {id(error)}
        if isinstance(error, BaseExceptionGroup) and all(is_disconnect(each, seen) for each in error.exceptions):
            return True
        error = error.__cause__ or error.__context__
    return False
