"""How logging is configured: by a dict, a file or nothing at all, and by the settings beside it.

Runs on the main thread before any other thread starts. It keeps nothing, and makes no handler or formatter itself. For
the whole process it has Uvicorn's names stand for ours: in `logging.getLogger`, and in what applications configure by
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
from typing import IO, Any

from threadserve.config import Config
from threadserve.errors import ConfigError
from threadserve.logging.configurator import Configurator, configure_by_parser, take_formatters
from threadserve.logging.formatters import TRACE_LOG_LEVEL
from threadserve.logging.names import take_names

LogConfig = dict[str, Any] | str | os.PathLike[str] | RawConfigParser | IO[Any]


def configure_logging(config: Config) -> None:
    """Configures logging as Uvicorn does: `log_config`, then `log_level`, `use_colors` and `access_log`.

    `use_colors` goes to the formatters of `log_config` that have such a key. Where `log_config` is None, only levels
    change, what `log_propagate` gives to the root logger, and what `access_log` turns off. Raises `ConfigError` for a
    `log_config` that cannot be used.
    """
    logging.addLevelName(TRACE_LOG_LEVEL, "TRACE")
    take_names()
    take_formatters()
    if config.log_config is not None:
        apply(config.log_config, config.use_colors)
    if config.log_level is not None:
        level = config.log_level.upper() if isinstance(config.log_level, str) else config.log_level
        for name in ("error", "access", "asgi"):
            logging.getLogger(f"threadserve.{name}").setLevel(level)
    if config.log_propagate:
        for name in ("threadserve", "threadserve.access"):
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = True
    if not config.access_log:
        access = logging.getLogger("threadserve.access")
        access.handlers.clear()
        access.propagate = False


def apply(source: LogConfig, use_colors: bool | None) -> None:
    """Configures logging by a dict, or by a file or parser that has what `dictConfig` or `fileConfig` takes.

    Raises `ConfigError` with the file's name and what is wrong.
    """
    name = os.fspath(source) if isinstance(source, str | os.PathLike) else getattr(source, "name", "")
    try:
        loaded = read_source(source)
        if isinstance(loaded, dict):
            Configurator(with_colors(loaded, use_colors)).configure()
        else:
            configure_by_parser(loaded)
    except Exception as error:
        raise ConfigError("log_config", f"{name}: {fault(error)}".removeprefix(": ")) from error


def read_source(source: LogConfig) -> dict[str, Any] | RawConfigParser:
    """A configuration, from its file where it is one."""
    if isinstance(source, dict | RawConfigParser):
        return source
    return read_file(Path(source)) if isinstance(source, str | os.PathLike) else load_ini(source)


def read_file(path: Path) -> dict[str, Any] | ConfigParser:
    """What a file says, whose suffix says how to read it: JSON, YAML, or else as `fileConfig` does."""
    load = LOADERS.get(path.suffix.lower(), load_ini)
    with path.open(encoding="utf-8") as file:
        loaded = load(file)
    if not isinstance(loaded, dict | ConfigParser):
        raise TypeError(f"there must be a mapping at the top, not {type(loaded).__name__}")
    return loaded


def load_ini(file: IO[str]) -> ConfigParser:
    """What an INI file says."""
    parser = ConfigParser()
    parser.read_file(file)
    return parser


def load_yaml(file: IO[str]) -> Any:
    """What a YAML file says. Raises `ImportError` without PyYAML."""
    try:
        yaml = import_module("yaml")
    except ImportError:
        raise ImportError("reading YAML needs PyYAML; pip install pyyaml") from None
    return yaml.safe_load(file)


LOADERS: dict[str, Callable[[IO[str]], Any]] = {".json": json.load, ".yaml": load_yaml, ".yml": load_yaml}


def fault(error: BaseException) -> str:
    """One line that says what is wrong, down to what caused it: `logging` names the place, its cause the mistake."""
    causes: list[str] = []
    current: BaseException | None = error
    while current is not None:
        text = " ".join(str(current.strerror if isinstance(current, OSError) else current).split())
        causes.append(f"{text} is missing" if isinstance(current, KeyError) else text or type(current).__name__)
        current = current.__cause__
    return ": ".join(dict.fromkeys(causes))


def with_colors(log_config: dict[str, Any], use_colors: bool | None) -> dict[str, Any]:
    """A logging configuration whose formatters have their colours on or off; None leaves it as it is."""
    if use_colors is None:
        return log_config
    formatters = {
        name: {**formatter, "use_colors": use_colors} if "use_colors" in formatter else formatter
        for name, formatter in log_config.get("formatters", {}).items()
    }
    return {**log_config, "formatters": formatters}
