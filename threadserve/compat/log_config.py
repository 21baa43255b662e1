"""Logging configurations that were written for Uvicorn: its formatters, and its names of loggers.

Runs on whichever thread configures logging. It keeps nothing, and changes no configuration that it is given.
"""

import copy
import re
from configparser import RawConfigParser
from typing import Any

from threadserve.compat.loggers import get_other_name
from threadserve.types import LoggingDict

UVICORN_FORMATTER = re.compile(r"(ext://)?uvicorn\.logging\.(AccessFormatter|ColourizedFormatter|DefaultFormatter)")


def translate_dict(config: LoggingDict) -> LoggingDict:
    """Return a configuration for `dictConfig` with our formatters, that names each logger by all its names.

    `logging.config` resets the loggers below one that it names. The name that was given comes last, and is the one that
    records get.
    """
    config = _replace_formatters(config)
    given = config.get("loggers")
    if not isinstance(given, dict):
        return config
    loggers: dict[str, object] = {}
    for name, logger in given.items():
        other = get_other_name(name)
        if other is not None and other not in given:
            loggers[other] = logger
        loggers[name] = logger
    return {**config, "loggers": loggers}


def _replace_formatters(value: Any) -> Any:
    """Return a configuration, or a part of one, with our formatters in place of Uvicorn's."""
    if isinstance(value, str):
        found = UVICORN_FORMATTER.fullmatch(value)
        return f"{found[1] or ''}threadserve.logging.{found[2]}" if found else value
    if isinstance(value, dict):
        return {key: _replace_formatters(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_replace_formatters, value))
    return value


def translate_parser(parser: RawConfigParser) -> RawConfigParser:
    """Return a configuration for `fileConfig` with our formatters, that names each logger by all its names."""
    translated = copy.deepcopy(parser)
    for section in translated.sections():
        name = translated.get(section, "class", raw=True, fallback="")
        if UVICORN_FORMATTER.fullmatch(name):
            translated.set(section, "class", _replace_formatters(name))
    if not translated.has_option("loggers", "keys"):
        return translated
    keys = [key.strip() for key in translated.get("loggers", "keys").split(",")]
    sections = [f"logger_{key}" for key in keys]
    names = {translated.get(each, "qualname") for each in sections if translated.has_option(each, "qualname")}
    for section in sections:
        other = get_other_name(translated.get(section, "qualname", fallback=""))
        if other is not None and other not in names:
            translated[f"logger_{other}"] = {**dict(translated.items(section, raw=True)), "qualname": other}
            keys.insert(0, other)
    translated.set("loggers", "keys", ",".join(keys))
    return translated
