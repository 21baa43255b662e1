"""Settings from a TOML file.

Runs on the main thread, before a configuration is made. It reads files and keeps nothing; values are checked against
the settings' declarations.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import Field
from difflib import get_close_matches
from pathlib import Path

from threadserve.config import settings
from threadserve.config.declaring import find_problem
from threadserve.errors import ConfigError
from threadserve.types import TOML, SettingValues

PROJECT_FILE = "pyproject.toml"
TABLE = "threadserve"


def find_config_file(folder: Path) -> Path | None:
    """Return the `pyproject.toml` in a folder, if it has a table `[tool.threadserve]`.

    Raises `ConfigError` if there is such a file and it cannot be read.
    """
    path = folder / PROJECT_FILE
    return path if path.is_file() and TABLE in get_tool_tables(read_toml(path)) else None


def read_config_file(path: Path) -> SettingValues:
    """Return the settings in a TOML file by their names, `app` included, with the values that `Config` takes.

    They are at the top of the file, in a table `[threadserve]`, or in `[tool.threadserve]`, which is the only place in
    a `pyproject.toml`. A name may be written with hyphens, and as on the command line. Raises `ConfigError` with the
    file and the key where something is wrong.
    """
    declared = {setting.name: setting for setting in settings()}
    names = map_names(declared)
    found: SettingValues = {}
    for key, value in find_table(path, read_toml(path)).items():
        name = names.get(key.replace("-", "_"))
        if name is None:
            raise make_error(path, key, f"there is no such setting{suggest_key(key, names)}")
        if name in found:
            raise make_error(path, key, "the same setting is there twice")
        found[name] = parse_headers(value) if name == "headers" else value
        if fault := find_fault(name, found[name], declared):
            raise make_error(path, key, fault)
    return found


def read_toml(path: Path) -> dict[str, TOML]:
    """Return the content of a TOML file. Raises `ConfigError`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("config", f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError("config", f"{path}: {error}") from error


def get_tool_tables(document: Mapping[str, TOML]) -> Mapping[str, TOML]:
    """Return the tables of all tools in a document."""
    tables = document.get("tool")
    return tables if isinstance(tables, dict) else {}


def find_table(path: Path, document: dict[str, TOML]) -> Mapping[str, TOML]:
    """Return the table of a document that has the settings."""
    if path.name == PROJECT_FILE or TABLE in get_tool_tables(document):
        place, table = f"tool.{TABLE}", get_tool_tables(document).get(TABLE)
    elif TABLE in document:
        place, table = TABLE, document[TABLE]
        outside = next((key for key in document if key != TABLE), None)
        if outside is not None:
            raise make_error(path, outside, f"stands outside of [{TABLE}]")
    else:
        return document
    if not isinstance(table, dict):
        raise ConfigError("config", f"{path}: there is no table [{place}]")
    return table


def map_names(declared: Mapping[str, Field[object]]) -> dict[str, str]:
    """Return the settings' names by the keys that a file may use: `app`, the names, and the command line's."""
    flags = {setting.metadata["flag"].removeprefix("--").replace("-", "_"): name for name, setting in declared.items()}
    flags.pop("", None)
    return {"app": "app", **flags, **{name: name for name in declared}}


def find_fault(name: str, value: object, declared: Mapping[str, Field[object]]) -> str | None:
    """Return what is wrong with the value of a setting, or None."""
    if name == "app":
        return None if isinstance(value, str) else f"{value!r} is not text"
    return find_problem(declared[name], value)


def parse_headers(value: TOML) -> object:
    """Return headers as pairs, from texts `Name:Value` or a table; anything else is left to the check."""
    if isinstance(value, dict):
        return list(value.items())
    if not isinstance(value, list):
        return value
    pairs = [tuple(item.split(":", 1)) if isinstance(item, str) and ":" in item else item for item in value]
    return [(pair[0], pair[1].strip(" \t")) if isinstance(pair, tuple) else pair for pair in pairs]


def suggest_key(key: str, names: Mapping[str, str]) -> str:
    """Return the end of a line about an unknown key."""
    close = get_close_matches(key.replace("-", "_"), names, n=1, cutoff=0.7)
    return f"; did you mean {close[0]}?" if close else ""


def make_error(path: Path, key: str, fault: str) -> ConfigError:
    """Return the error for a key of a file."""
    return ConfigError("config", f"{path}: {key}: {fault}")
