"""The log level `trace`: a line for every message between the server and the application.

Runs on the loop thread whose app it wraps; it owns the number of calls that it has seen, and changes no message.
"""

import logging
from itertools import count
from typing import Any

from threadserve.logging.formatters import TRACE_LOG_LEVEL
from threadserve.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("threadserve.asgi")


class MessageTrace:
    """An ASGI application that logs the messages to and from another. It belongs to one loop's thread."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._numbers = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application, and log its messages, its start, its end and its failure."""
        client = scope.get("client")
        name = f"{client[0]}:{client[1]} - ASGI" if client else "ASGI"
        call = f"{name} [{next(self._numbers)}]"

        async def traced_receive() -> Message:
            message = await receive()
            logger.log(TRACE_LOG_LEVEL, "%s Receive %s", call, redact_message(message))
            return message

        async def traced_send(message: Message) -> None:
            logger.log(TRACE_LOG_LEVEL, "%s Send %s", call, redact_message(message))
            await send(message)

        logger.log(TRACE_LOG_LEVEL, "%s Started scope=%s", call, redact_message(scope))
        try:
            await self._app(scope, traced_receive, traced_send)
        except BaseException:
            logger.log(TRACE_LOG_LEVEL, "%s Raised exception", call)
            raise
        logger.log(TRACE_LOG_LEVEL, "%s Completed", call)


def redact_message(message: Message) -> dict[str, object]:
    """Return a message as the log shows it: of its content only the size, for it may be large or private."""
    return {key: redact_value(key, value) for key, value in message.items()}


def redact_value(key: str, value: Any) -> object:
    """Return what the log shows in place of one value of a message."""
    if value is not None and key in ("body", "bytes", "text"):
        return f"<{len(value)} {'chars' if key == 'text' else 'bytes'}>"
    return "<...>" if key in ("headers", "state") else value
