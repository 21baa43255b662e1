"""The process's environment: variables from a file, and those that settings default to.

Runs on the main thread of whoever starts a server, before the application is imported and before any other thread
starts. It writes the process's environment and keeps nothing.
"""

import os
from importlib import import_module
from pathlib import Path

from threadserve.config.checks import check_trusted_hosts
from threadserve.config.config import Config
from threadserve.errors import ConfigError


def load_environment(config: Config) -> None:
    """Set the variables of `env_file`, and check what `forwarded_allow_ips` then defaults to. Raises `ConfigError`."""
    if config.env_file is not None:
        load_env_file(config.env_file)
    proxies = os.environ.get("FORWARDED_ALLOW_IPS", "")
    if config.forwarded_allow_ips is None and (problem := check_trusted_hosts(proxies)):
        raise ConfigError("forwarded_allow_ips", f"$FORWARDED_ALLOW_IPS: {problem}")


def load_env_file(path: str | os.PathLike[str]) -> None:
    """Set the variables of a file in the format of python-dotenv. Those that are set already keep their values.

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
