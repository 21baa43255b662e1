"""The log: its formatters and handler, under the names that logging configurations written for Uvicorn use."""

from threadserve.logging.formatters import (
    TRACE_LOG_LEVEL,
    AccessFormatter,
    ColourizedFormatter,
    ConsoleHandler,
    DefaultFormatter,
)
from threadserve.logging.json_formatter import JsonFormatter

__all__ = [
    "TRACE_LOG_LEVEL",
    "AccessFormatter",
    "ColourizedFormatter",
    "ConsoleHandler",
    "DefaultFormatter",
    "JsonFormatter",
]
