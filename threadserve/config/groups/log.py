"""What is logged, and how it looks. Declarations only."""

import copy
import os
from configparser import RawConfigParser
from dataclasses import dataclass
from typing import IO, Any, ClassVar

from threadserve.config.declaring import setting
from threadserve.config.logging_config import LOG_LEVELS, LOGGING_CONFIG
from threadserve.logging.access_format import problem_with_format


@dataclass(eq=False, kw_only=True)
class Log:
    """The server's log and the access log."""

    heading: ClassVar = "Logging"

    log_level: str | int | None = setting(
        None, "Log what is at least this important.", choices=LOG_LEVELS, shown_default="info"
    )
    log_config: str | os.PathLike[str] | dict[str, Any] | RawConfigParser | IO[Any] | None = setting(
        factory=lambda: copy.deepcopy(LOGGING_CONFIG),
        help="Configure logging by this file: .json, .yaml or .ini.",
        metavar="FILE",
        shown_default="threadserve's own",
    )
    log_propagate: bool = setting(False, "Leave the log to the handlers of the root logger.")
    access_log: bool = setting(True, "Log every request.")
    access_log_format: str | None = setting(
        None,
        "Format of the access log in Gunicorn's atoms, or json.",
        check=problem_with_format,
        metavar="FORMAT",
        shown_default="Uvicorn's",
    )
    use_colors: bool | None = setting(None, "Colour the log.", shown_default="on a terminal")
