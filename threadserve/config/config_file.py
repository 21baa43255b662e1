"""Settings from a TOML file.

Runs on the main thread, before a configuration is made. It reads files and keeps nothing; what a setting may be is said
by its declaration alone.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import Field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from threadserve.config import settings
from threadserve.config.declaring import find_problem
from threadserve.errors import ConfigError

PROJECT_FILE = "pyproject.toml"
TABLE = "threadserve"


def find_config_file(folder: Path) -> Path | None:
    """The `pyproject.toml` in a folder, if it has a table `[tool.threadserve]`.

    Raises `ConfigError` if there is such a file and it cannot be read.
    """
    path = folder / PROJECT_FILE
    return path if path.is_file() and TABLE in tools(read_toml(path)) else None


def read_config_file(path: Path) -> dict[str, Any]:
    """The settings in a TOML file by their names, `app` included, with the values that `Config` takes.

    They are at the top of the file, in a table `[threadserve]`, or in `[tool.threadserve]`, which is the only place in
    a `pyproject.toml`. A name may be written with hyphens, and as on the command line. Raises `ConfigError` with the
    file and the key where something is wrong.
    """
    declared = {setting.name: setting for setting in settings()}
    names = names_in_files(declared)
    found: dict[str, Any] = {}
    for key, value in table_of(path, read_toml(path)).items():
        name = names.get(key.replace("-", "_"))
        if name is None:
            raise problem(path, key, f"there is no such setting{did_you_mean(key, names)}")
        if name in found:
            raise problem(path, key, "the same setting is there twice")
        found[name] = header_pairs(value) if name == "headers" else value
        if fault := fault_of(name, found[name], declared):
            raise problem(path, key, fault)
    return found


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file says."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("config", f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError("config", f"{path}: {error}") from error


def tools(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tables of all tools in a document."""
    tables = document.get("tool")
    return tables if isinstance(tables, dict) else {}


def table_of(path: Path, document: dict[str, Any]) -> Mapping[str, Any]:
    """The table of a document that has the settings."""
    if path.name == PROJECT_FILE or TABLE in tools(document):
        place, table = f"tool.{TABLE}", tools(document).get(TABLE)
    elif TABLE in document:
        place, table = TABLE, document[TABLE]
        outside = next((key for key in document if key != TABLE), None)
        if outside is not None:
            raise problem(path, outside, f"stands outside of [{TABLE}]")
    else:
        return document
    if not isinstance(table, dict):
        raise ConfigError("config", f"{path}: there is no table [{place}]")
    return table


def names_in_files(declared: Mapping[str, Field[Any]]) -> dict[str, str]:
    """The settings' names by what they may be called in a file: `app` and what the command line calls them too."""
    flags = {setting.metadata["flag"].removeprefix("--").replace("-", "_"): name for name, setting in declared.items()}
    flags.pop("", None)
    return {"app": "app", **flags, **{name: name for name in declared}}


def fault_of(name: str, value: object, declared: Mapping[str, Field[Any]]) -> str | None:
    """What is wrong with the value of a setting, or None."""
    if name == "app":
        return None if isinstance(value, str) else f"{value!r} is not text"
    return find_problem(declared[name], value)


def header_pairs(value: Any) -> Any:
    """Headers as pairs, from texts `Name:Value` or a table; anything else is left to the check."""
    if isinstance(value, dict):
        return list(value.items())
    if not isinstance(value, list):
        return value
    pairs = [tuple(item.split(":", 1)) if isinstance(item, str) and ":" in item else item for item in value]
    return [(pair[0], pair[1].strip(" \t")) if isinstance(pair, tuple) else pair for pair in pairs]


def did_you_mean(key: str, names: Mapping[str, str]) -> str:
    """The end of a line about a key that nobody knows."""
    close = get_close_matches(key.replace("-", "_"), names, n=1, cutoff=0.7)
    return f"; did you mean {close[0]}?" if close else ""


def problem(path: Path, key: str, fault: str) -> ConfigError:
    """The error for a key of a file."""
    return ConfigError("config", f"{path}: {key}: {fault}")
