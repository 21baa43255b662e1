"""Logging configurations that were written for Uvicorn, and what ours are made with.

Runs on whichever thread configures logging. It keeps nothing, and changes no configuration that it is given.
"""

import copy
import logging.config
import re
from configparser import RawConfigParser
from typing import Any

from threadserve.logging.formatters import resolve_colors
from threadserve.logging.names import SUFFIXES, other_name

UVICORNS = re.compile(r"(ext://)?uvicorn\.logging\.(AccessFormatter|ColourizedFormatter|DefaultFormatter)")


class Configurator(logging.config.DictConfigurator):
    """What `logging.config.dictConfig` does, with our formatters in place of Uvicorn's, which need not be installed."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(with_both_names(with_our_formatters(config)))

    def configure_handler(self, config: dict[str, Any]) -> logging.Handler | Any:
        """Makes a handler; its formatter colours where the handler writes to a terminal."""
        handler = super().configure_handler(config)
        resolve_colors(handler)
        return handler

    def configure_logger(self, name: str, config: Any, incremental: bool = False) -> None:
        """Configures a logger; of those that have two names, records get the one that is used here."""
        super().configure_logger(name, config, incremental)
        call_by(name)


def take_formatters() -> None:
    """Has `logging.config.dictConfig` be done so, unless a program has it done in a way of its own."""
    if logging.config.dictConfigClass is logging.config.DictConfigurator:
        vars(logging.config).update(dictConfigClass=Configurator)


def configure_by_parser(parser: RawConfigParser) -> None:
    """Does the same for what `logging.config.fileConfig` takes."""
    both = with_our_formatters(parser)
    name_both(both)
    logging.config.fileConfig(both, disable_existing_loggers=False)
    for section in parser.sections():
        if section.startswith("logger_") and parser.has_option(section, "qualname"):
            call_by(parser.get(section, "qualname"))
    for name in ("", *(f"threadserve{suffix}" for suffix in SUFFIXES)):
        for handler in logging.getLogger(name).handlers:
            resolve_colors(handler)


def with_our_formatters(value: Any) -> Any:
    """A configuration, or a part of one, with Uvicorn's formatters replaced by ours."""
    if isinstance(value, str):
        found = UVICORNS.fullmatch(value)
        return f"{found[1] or ''}threadserve.logging.{found[2]}" if found else value
    if isinstance(value, dict):
        return {key: with_our_formatters(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(with_our_formatters, value))
    if isinstance(value, RawConfigParser):
        parser = copy.deepcopy(value)
        for section in parser.sections():
            name = parser.get(section, "class", raw=True, fallback="")
            if UVICORNS.fullmatch(name):
                parser.set(section, "class", with_our_formatters(name))
        return parser
    return value


def with_both_names(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration that names each logger by all its names: `logging.config` resets those below one that it names.

    The name that was given comes last, and is the one that records get.
    """
    given = config.get("loggers")
    if not isinstance(given, dict):
        return config
    loggers: dict[str, Any] = {}
    for name, logger in given.items():
        other = other_name(name)
        if other is not None and other not in given:
            loggers[other] = logger
        loggers[name] = logger
    return {**config, "loggers": loggers}


def name_both(parser: RawConfigParser) -> None:
    """Does the same in what `logging.config.fileConfig` takes."""
    if not parser.has_option("loggers", "keys"):
        return
    keys = [key.strip() for key in parser.get("loggers", "keys").split(",")]
    sections = [f"logger_{key}" for key in keys]
    names = {parser.get(each, "qualname") for each in sections if parser.has_option(each, "qualname")}
    for section in sections:
        other = other_name(parser.get(section, "qualname", fallback=""))
        if other is not None and other not in names:
            parser[f"logger_{other}"] = {**dict(parser.items(section, raw=True)), "qualname": other}
            keys.insert(0, other)
    parser.set("loggers", "keys", ",".join(keys))


def call_by(name: str) -> None:
    """Has the records of a logger carry this one of its names."""
    logging.getLogger(name).name = name
