"""The configuration of logging: by a dict, a file or nothing at all, and by the settings that come with it.

Runs on the main thread before any other thread starts. It keeps nothing, and makes no handler or formatter itself. For
the whole process it makes Uvicorn's names stand for ours: in `logging.getLogger`, and in what applications configure by
`logging.config.dictConfig` later.
"""

import json
import logging
import logging.config
import os
from collections.abc import Callable
from configparser import ConfigParser, RawConfigParser
from importlib import import_module
from pathlib import Path
from typing import IO, Protocol

from threadserve.compat.loggers import alias_loggers
from threadserve.errors import ConfigError
from threadserve.logging.configurator import Configurator, configure_by_parser, install_configurator
from threadserve.logging.default_config import LogConfig
from threadserve.logging.formatters import TRACE_LOG_LEVEL
from threadserve.types import LoggingDict


class LogSettings(Protocol):
    """The settings of a configuration that logging is configured by."""

    log_config: LogConfig | None
    log_level: str | int | None
    log_propagate: bool
    access_log: bool
    use_colors: bool | None


def configure_logging(settings: LogSettings) -> None:
    """Configure logging as Uvicorn does: by `log_config`, then by the other settings.

    `use_colors` goes to the formatters of `log_config` that have such a key. Where `log_config` is None, only levels
    change, what `log_propagate` gives to the root logger, and what `access_log` turns off. Raises `ConfigError` for a
    `log_config` that cannot be used.
    """
    logging.addLevelName(TRACE_LOG_LEVEL, "TRACE")
    alias_loggers()
    install_configurator()
    if settings.log_config is not None:
        apply_log_config(settings.log_config, settings.use_colors)
    if settings.log_level is not None:
        level = settings.log_level.upper() if isinstance(settings.log_level, str) else settings.log_level
        for name in ("error", "access", "asgi"):
            logging.getLogger(f"threadserve.{name}").setLevel(level)
    if settings.log_propagate:
        for name in ("threadserve", "threadserve.access"):
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = True
    if not settings.access_log:
        access = logging.getLogger("threadserve.access")
        access.handlers.clear()
        access.propagate = False


def apply_log_config(source: LogConfig, use_colors: bool | None) -> None:
    """Configure logging by a dict, or by a file or parser that has what `dictConfig` or `fileConfig` takes.

    Raises `ConfigError` with the file's name and what is wrong.
    """
    name = os.fspath(source) if isinstance(source, str | os.PathLike) else getattr(source, "name", "")
    try:
        loaded = load_log_config(source)
        if isinstance(loaded, dict):
            Configurator(set_colors(loaded, use_colors)).configure()
        else:
            configure_by_parser(loaded)
    except Exception as error:
        raise ConfigError("log_config", f"{name}: {describe_error(error)}".removeprefix(": ")) from error


def load_log_config(source: LogConfig) -> LoggingDict | RawConfigParser:
    """Return a configuration, read from its file where it is one.

    A path's suffix says how to read it: JSON, YAML, or else as `fileConfig` does.
    """
    if isinstance(source, dict | RawConfigParser):
        return source
    if not isinstance(source, str | os.PathLike):
        return load_ini(source)
    path = Path(source)
    load = LOADERS.get(path.suffix.lower(), load_ini)
    with path.open(encoding="utf-8") as file:
        loaded = load(file)
    if not isinstance(loaded, dict | ConfigParser):
        raise TypeError(f"there must be a mapping at the top, not {type(loaded).__name__}")
    return loaded


def load_ini(file: IO[str]) -> ConfigParser:
    """Return the content of an INI file."""
    parser = ConfigParser()
    parser.read_file(file)
    return parser


def load_yaml(file: IO[str]) -> object:
    """Return the content of a YAML file. Raises `ImportError` without PyYAML."""
    try:
        yaml = import_module("yaml")
    except ImportError:
        raise ImportError("reading YAML needs PyYAML; pip install pyyaml") from None
    content: object = yaml.safe_load(file)
    return content


LOADERS: dict[str, Callable[[IO[str]], object]] = {".json": json.load, ".yaml": load_yaml, ".yml": load_yaml}


def describe_error(error: BaseException) -> str:
    """Return one line about an error and its causes: `logging` names the place, the cause the mistake."""
    causes: list[str] = []
    current: BaseException | None = error
    while current is not None:
        text = " ".join(str(current.strerror if isinstance(current, OSError) else current).split())
        causes.append(f"{text} is missing" if isinstance(current, KeyError) else text or type(current).__name__)
        current = current.__cause__
    return ": ".join(dict.fromkeys(causes))


def set_colors(log_config: LoggingDict, use_colors: bool | None) -> LoggingDict:
    """Return a configuration whose formatters have their colours on or off; None leaves it as it is."""
    if use_colors is None:
        return log_config
    formatters = {
        name: {**formatter, "use_colors": use_colors} if "use_colors" in formatter else formatter
        for name, formatter in log_config.get("formatters", {}).items()
    }
    return {**log_config, "formatters": formatters}
