"""Environment variables from a file, for the application.

Runs on the main thread before the application is imported and before any other thread starts. It writes the process's
environment and keeps nothing.
"""

import os
from importlib import import_module
from pathlib import Path

from threadserve.errors import ConfigError


def load_env_file(path: str | os.PathLike[str]) -> None:
    """Sets the variables of a file in the format of python-dotenv. Those that are set already keep their values.

    Raises `ConfigError` if the file cannot be read or python-dotenv is not installed.
    """
    name = os.fspath(path)
    try:
        dotenv = import_module("dotenv")
    except ImportError:
        raise ConfigError("env_file", f"reading {name} needs python-dotenv; pip install python-dotenv") from None
    try:
        with Path(path).open(encoding="utf-8") as file:
            dotenv.load_dotenv(stream=file)
    except OSError as error:
        raise ConfigError("env_file", f"{name}: {error.strerror}") from error
    except ValueError as error:
        # A byte that is not UTF-8, or a variable that no process can have.
        raise ConfigError("env_file", f"{name}: {error}") from error
