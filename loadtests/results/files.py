"""Writes and reads files of results."""

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from loadtests.errors import LoadTestError
from loadtests.servers.interpreters import ROOT

Results = TypeVar("Results")


def replace_text(path: Path, text: str) -> None:
    """Write a file, and its folders, in one step: nobody finds it half written, however this process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(text)
    beside.replace(path)


def portable(command: Sequence[str]) -> list[str]:
    """Return a command line as it is kept: without the folder of this clone, and without that of temporary files."""
    return [part.removeprefix(f"{ROOT}/").removeprefix(f"{tempfile.gettempdir()}/") for part in command]


def read_results(
    path: Path, command: str, version: str | Sequence[str], make: Callable[[dict[str, Any]], Results]
) -> Results:
    """Read what `command` has written as JSON in the format `version`, or one of several, and make the results of it.

    Raises LoadTestError for anything else, `make`'s KeyError, TypeError, ValueError and AttributeError included.
    """
    try:
        told = json.loads(path.read_text())
    except OSError as error:
        raise LoadTestError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise LoadTestError(f"{path} is no results of `{command}`: it is not JSON") from None
    versions = (version,) if isinstance(version, str) else version
    if not isinstance(told, dict) or told.get("format") not in versions:
        raise LoadTestError(f"{path} is no results of `{command}` in the format {versions[0]}")
    try:
        return make(told)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LoadTestError(f"{path} is damaged: {type(error).__name__} {error}") from None
