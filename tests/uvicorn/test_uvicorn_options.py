"""Uvicorn's own command and classes beside ours: a command line or a call for the one has to do for the other."""

import asyncio
import inspect
import logging
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest
import uvicorn
from uvicorn.config import HTTPProtocolType, LoopFactoryType, WSProtocolType

from threadserve.cli import main
from threadserve.config import Config
from threadserve.errors import ConfigError

# What Uvicorn has and we have not.
ABSENT: dict[str, str] = {}
ABSENT_VALUES = {
    "http": {"zttp": "a parser of the same author's, for HTTP/2"},
    "loop": {"zuvloop": "a loop of the same author's, experimental"},
}
# Where our default is another one.
OTHER_DEFAULTS = {
    "timeout_graceful_shutdown": "Uvicorn waits for ever, and Kubernetes ends a process after 30 s",
    "log_config": "each configures the loggers of its own name",
    "app_dir": "Uvicorn's function has None where its command has '', which means the same",
    "headers": "an empty list would be shared by all objects",
}

# Uvicorn's choices that are only in its types, for the command takes any text.
CHOICES = {"http": HTTPProtocolType, "loop": LoopFactoryType, "ws": WSProtocolType}

THEIRS = {parameter.name: parameter for parameter in uvicorn.main.params if parameter.name is not None}
OURS = {parameter.name: parameter for parameter in main.params if parameter.name is not None}
SHARED = sorted(set(THEIRS) & set(OURS) - {"app", "version"})


def choices(name: str) -> list[str]:
    """The texts that an option of Uvicorn's may be, those left out that we have not; none where it may be any."""
    kind = THEIRS[name].type
    found = kind.choices if isinstance(kind, click.Choice) else get_args(CHOICES.get(name))
    return [str(each) for each in found if each not in ABSENT_VALUES.get(name, {})]


def parsed(command: click.Command, *arguments: str) -> dict[str, Any]:
    """What a command makes of its arguments, without running."""
    return command.make_context("server", ["main:app", *arguments]).params


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the options to the test."""
    for name in os.environ:
        if name.startswith(("UVICORN_", "THREADSERVE_")) or name in ("WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"):
            monkeypatch.delenv(name)


@pytest.fixture
def samples(tmp_path: Path) -> Iterator[dict[Any, str]]:
    """A value for each option by its name, or else by its type."""
    (tmp_path / "log.json").write_text('{"version": 1}')
    (tmp_path / "some.env").write_text("NAME=value\n")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield {
            "app_dir": str(tmp_path),
            "env_file": str(tmp_path / "some.env"),
            "log_config": str(tmp_path / "log.json"),
            "reload_dirs": str(tmp_path),
            "fd": str(listener.fileno()),
            "headers": "X-Name: a value: with a colon",
            "ssl_cert_reqs": str(int(ssl.CERT_REQUIRED)),
            "ws_per_message_deflate": "false",
            "forwarded_allow_ips": "10.0.0.0/8,127.0.0.1",
            click.INT: "70",
            click.FLOAT: "7.5",
            click.STRING: "text",
        }


def values(name: str, samples: dict[Any, str]) -> list[list[str]]:
    """The arguments that may follow an option of Uvicorn's."""
    option = THEIRS[name]
    assert isinstance(option, click.Option)
    if option.is_flag:
        return [[]]
    return [[choice] for choice in choices(name)] or [[samples.get(name) or samples[option.type]]]


def test_every_option_is_there_by_every_name() -> None:
    theirs = {flag for option in THEIRS.values() for flag in (*option.opts, *option.secondary_opts)}
    ours = {flag for option in OURS.values() for flag in (*option.opts, *option.secondary_opts)}
    assert theirs - ours == {f"--{name.replace('_', '-')}" for name in ABSENT if name in THEIRS}


@pytest.mark.parametrize("name", SHARED)
def test_option_reads_what_uvicorn_reads(name: str, samples: dict[Any, str]) -> None:
    option = THEIRS[name]
    for flag in (*option.opts, *option.secondary_opts):
        for value in values(name, samples):
            expected = parsed(uvicorn.main, flag, *value)[name]
            found = parsed(main, flag, *value)[name]
            assert found == ((("X-Name", "a value: with a colon"),) if name == "headers" else expected)


@pytest.mark.parametrize("name", SHARED)
def test_default_of_the_option_is_uvicorns(name: str) -> None:
    expected, found = parsed(uvicorn.main)[name], parsed(main)[name]
    if name == "timeout_graceful_shutdown":
        assert (expected, found) == (None, 20)
    else:
        # Click gives an empty tuple for an option that may be repeated, or the default that was declared.
        assert (found or None) == (expected or None) or found == expected


@pytest.mark.parametrize("name", [name for name in SHARED if getattr(THEIRS[name], "multiple", False)])
def test_option_may_be_repeated_as_uvicorns(name: str, samples: dict[Any, str]) -> None:
    flag, value = THEIRS[name].opts[0], samples.get(name) or "text"
    assert len(parsed(main, flag, value, flag, value)[name]) == 2


@pytest.mark.parametrize("name", sorted(ABSENT_VALUES))
def test_absent_value_is_refused_by_its_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for value in ABSENT_VALUES[name]:
        with pytest.raises(click.exceptions.Exit):
            parsed(main, f"--{name}", value)
        assert f"Error: Invalid value for '--{name}'" in capsys.readouterr().err


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    """The parameters of a function of Uvicorn's, `self` left out."""
    return {name: each for name, each in inspect.signature(function).parameters.items() if name != "self"}


CONFIG = parameters(uvicorn.Config)
RUN = parameters(uvicorn.run)


def test_every_parameter_of_config_and_run_is_there() -> None:
    ours = set(inspect.signature(Config).parameters)
    assert set(CONFIG) - ours == set(ABSENT)
    assert set(RUN) - ours == set(ABSENT) & set(RUN)


def test_first_parameters_may_be_given_by_position() -> None:
    config = Config("main:app", "0.0.0.0", 8001)
    assert (config.app, config.host, config.port) == ("main:app", "0.0.0.0", 8001)


@pytest.mark.parametrize("name", sorted((set(CONFIG) | set(RUN)) - set(ABSENT) - {"app"}))
def test_default_of_the_parameter_is_uvicorns(name: str) -> None:
    theirs, ours = (CONFIG.get(name) or RUN[name]).default, inspect.signature(Config).parameters[name].default
    if name in OTHER_DEFAULTS:
        assert ours != theirs
    else:
        assert ours == theirs
    if name != "app_dir":
        Config("main:app", **{name: theirs})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log_level", logging.DEBUG),
        ("log_level", "WARNING"),
        ("log_config", None),
        ("log_config", {"version": 1}),
        ("headers", [("X-Name", "value")]),
        ("reload_dirs", "tests"),
        ("reload_dirs", ["tests"]),
        ("reload_includes", "*.html"),
        ("reload_excludes", ["*.html"]),
        ("forwarded_allow_ips", ["10.0.0.1", "::1"]),
        ("forwarded_allow_ips", "*"),
        ("ssl_version", ssl.PROTOCOL_TLS_SERVER),
        ("ssl_cert_reqs", ssl.CERT_OPTIONAL),
        ("ssl_certfile", Path("certificate.pem")),
        ("ssl_context_factory", lambda config, default: ssl.create_default_context()),
        ("env_file", None),
        ("ws_ping_interval", None),
        ("ws_ping_timeout", None),
        ("timeout_graceful_shutdown", None),
        ("loop", "asyncio:new_event_loop"),
    ],
)
def test_parameter_takes_what_uvicorns_takes(name: str, value: Any) -> None:
    Config("main:app", **{name: value})


@pytest.mark.parametrize("name", ["http", "ws"])
def test_protocol_class_of_the_programs_own_is_refused(name: str) -> None:
    settings: dict[str, Any] = {name: asyncio.Protocol}
    with pytest.raises(ConfigError, match=name):
        Config("main:app", **settings)
