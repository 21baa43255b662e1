"""Configurations of `logging`, applied so that the server's formatters colour and loggers have both their names.

Runs on whichever thread configures logging. It keeps nothing, and changes no configuration that it is given.
"""

import logging.config
from configparser import RawConfigParser
from typing import Any

from threadserve.compat.log_config import translate_dict, translate_parser
from threadserve.compat.loggers import SUFFIXES
from threadserve.logging.formatters import resolve_colors
from threadserve.types import LoggingDict


class Configurator(logging.config.DictConfigurator):
    """The class behind `dictConfig`, with our formatters in place of Uvicorn's, which need not be installed."""

    def __init__(self, config: LoggingDict) -> None:
        super().__init__(translate_dict(config))

    def configure_handler(self, config: LoggingDict) -> logging.Handler:
        """Return a handler, whose formatter colours if the handler writes to a terminal."""
        handler = super().configure_handler(config)
        resolve_colors(handler)
        return handler

    def configure_logger(self, name: str, config: Any, incremental: bool = False) -> None:
        """Configure a logger. The records of one that has two names get the one that is used here."""
        super().configure_logger(name, config, incremental)
        name_records(name)


def install_configurator() -> None:
    """Make `logging.config.dictConfig` use `Configurator`, unless a program has given it a class of its own."""
    if logging.config.dictConfigClass is logging.config.DictConfigurator:
        vars(logging.config).update(dictConfigClass=Configurator)


def configure_by_parser(parser: RawConfigParser) -> None:
    """Configure logging by what `logging.config.fileConfig` takes."""
    logging.config.fileConfig(translate_parser(parser), disable_existing_loggers=False)
    for section in parser.sections():
        if section.startswith("logger_") and parser.has_option(section, "qualname"):
            name_records(parser.get(section, "qualname"))
    for name in ("", *(f"threadserve{suffix}" for suffix in SUFFIXES)):
        for handler in logging.getLogger(name).handlers:
            resolve_colors(handler)


def name_records(name: str) -> None:
    """Give the records of a logger this one of its names."""
    logging.getLogger(name).name = name
