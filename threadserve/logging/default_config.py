"""The default configuration of logging. It holds values only; programs may change them before they serve."""

import os
from configparser import RawConfigParser
from typing import IO, Any

from threadserve.types import LoggingDict

LogConfig = str | os.PathLike[str] | LoggingDict | RawConfigParser | IO[Any]

LOG_LEVELS = ("critical", "error", "warning", "info", "debug", "trace")

LOGGING_CONFIG: LoggingDict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "default": {
            "()": "threadserve.logging.DefaultFormatter",
            "fmt": "%(levelprefix)s %(message)s",
            "use_colors": None,
        },
        "access": {
            "()": "threadserve.logging.AccessFormatter",
            "fmt": '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s',
            "use_colors": None,
        },
    },
    "handlers": {
        "default": {
            "formatter": "default",
            "class": "threadserve.logging.ConsoleHandler",
            "stream": "ext://sys.stderr",
        },
        "access": {
            "formatter": "access",
            "class": "threadserve.logging.ConsoleHandler",
            "stream": "ext://sys.stdout",
        },
    },
    "loggers": {
        "threadserve": {"handlers": ["default"], "level": "INFO", "propagate": False},
        "threadserve.error": {"level": "INFO"},
        "threadserve.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
    },
}
