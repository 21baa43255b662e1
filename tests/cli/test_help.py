"""What `--help` and `--version` write."""

import platform
import re
import sysconfig
from dataclasses import MISSING
from typing import Any

import pytest
from click.testing import CliRunner
from support.command_line import invoke, option_of, run_module

import threadserve
from threadserve.cli import main
from threadserve.config import groups, settings
from threadserve.runtime.forms import get_form


def sections(text: str) -> dict[str, str]:
    """The parts of a help text by their headings."""
    _, *parts = re.split(r"^(\S.*):\n", text.partition("\n")[2], flags=re.MULTILINE)
    assert len(set(parts[::2])) == len(parts[::2])
    return dict(zip(parts[::2], parts[1::2], strict=True))


def flags(text: str) -> list[str]:
    """The options that a section of the help explains, in their order."""
    return [flag for line in re.findall(r"^  (--.*)", text, re.MULTILINE) for flag in re.findall(r"--[a-z0-9-]+", line)]


def test_the_version_says_what_runs() -> None:
    result = invoke("--version")
    build = "free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else "with the GIL"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    version = f"threadserve {threadserve.__version__} ({get_form()})"
    expected = f"{version}, {python} ({build}), {platform.system()}\n"
    assert (result.exit_code, result.stdout, result.stderr) == (0, expected, "")


def test_the_help_has_every_option_once_under_its_group() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    expected: dict[str, list[str]] = {}
    for heading, members in groups():
        options = [option_of(declared.name) for declared in members]
        expected[heading] = [flag for option in options for flag in [*option.opts, *option.secondary_opts]]
    expected["Other"] = ["--config", "--check", "--version", "--help"]
    parts = sections(result.stdout)
    assert {heading: flags(part) for heading, part in parts.items()} == expected
    assert list(parts) == list(expected)


@pytest.mark.parametrize("declared", settings(), ids=lambda declared: declared.name)
def test_the_help_says_what_a_setting_is_for_and_its_default(declared: Any) -> None:
    words = " ".join(invoke("--help").stdout.split())
    assert declared.metadata["help"] in words
    if declared.metadata["shown_default"]:
        assert f"[default: {declared.metadata['shown_default']}]" in words
    elif declared.default is True:
        assert f"{declared.metadata['help']} [default: on]" in words
    elif declared.default not in (False, None, "", (), MISSING):
        assert f"{declared.metadata['help']} [default: {declared.default}]" in words


def test_a_default_of_none_is_described_unless_nothing_is_meant() -> None:
    undescribed = {made.name for made in settings() if made.default is None and not made.metadata["shown_default"]}
    assert undescribed == {
        *("uds", "fd", "env_file"),
        *("ssl_certfile", "ssl_keyfile_password", "ssl_ca_certs"),
    }


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_the_help_fits_the_terminal(columns: int) -> None:
    lines = CliRunner().invoke(main, "--help", terminal_width=columns).stdout.splitlines()
    assert max(map(len, lines)) <= columns
    assert not [line for line in lines if line.endswith(("-", " "))]


def test_the_help_is_not_too_wide_to_read() -> None:
    lines = run_module("--help", COLUMNS="200").stdout.splitlines()
    assert 80 < max(map(len, lines)) <= 100


def test_the_module_is_the_command() -> None:
    version, usage = run_module("--version"), run_module()
    assert (version.returncode, version.stderr) == (0, "")
    assert version.stdout == invoke("--version").stdout
    assert (usage.returncode, usage.stdout) == (2, "")
    assert usage.stderr.startswith("Usage: python -m threadserve [OPTIONS] APP\n")
