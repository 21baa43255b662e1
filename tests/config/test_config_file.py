"""Settings from a TOML file: where they stand, what they may be, and what is refused in one line."""

from pathlib import Path
from typing import Any

import pytest

from threadserve.config import Config, settings
from threadserve.config.config_file import find_config_file, read_config_file
from threadserve.errors import ConfigError

SETTINGS = 'app = "main:app"\nport = 8001\naccess-log = false\ntimeout_keep_alive = 7\nlog-level = "debug"\n'
VALUES = {"app": "main:app", "port": 8001, "access_log": False, "timeout_keep_alive": 7, "log_level": "debug"}


def read(folder: Path, text: str, name: str = "serve.toml") -> dict[str, Any]:
    (folder / name).write_text(text, encoding="utf-8")
    return read_config_file(folder / name)


def refused(folder: Path, text: str, name: str = "serve.toml") -> str:
    """The line for a bad file, from the file's name on."""
    with pytest.raises(ConfigError) as raised:
        read(folder, text, name)
    assert raised.value.option == "config"
    assert "\n" not in raised.value.problem
    return raised.value.problem.replace(str(folder / name), name)


@pytest.mark.parametrize(
    ("name", "heading"),
    [
        ("serve.toml", ""),
        ("serve.toml", "[threadserve]\n"),
        ("serve.toml", "[tool.threadserve]\n"),
        ("pyproject.toml", "[project]\nname = 'x'\n[tool.other]\nport = 1\n[tool.threadserve]\n"),
    ],
)
def test_settings_at_each_place(tmp_path: Path, name: str, heading: str) -> None:
    found = read(tmp_path, heading + SETTINGS, name)
    assert found == VALUES
    assert Config(**found).port == 8001


@pytest.mark.parametrize(
    "text",
    [
        'headers = ["X-A: 1", "X-B:a:b"]',
        'header = ["X-A:1", "X-B:a:b"]',
        'headers = [["X-A", "1"], ["X-B", "a:b"]]',
        '[headers]\nX-A = "1"\nX-B = "a:b"',
    ],
)
def test_headers(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, text)["headers"]
    assert [tuple(pair) for pair in found] == [("X-A", "1"), ("X-B", "a:b")]
    assert Config("main:app", headers=found)


def test_names_of_the_command_line(tmp_path: Path) -> None:
    assert read(tmp_path, 'reload-dir = ["src"]\nreload_includes = ["*.html"]') == {
        "reload_dirs": ["src"],
        "reload_includes": ["*.html"],
    }


def test_a_logging_configuration_as_a_table(tmp_path: Path) -> None:
    found = read(tmp_path, "[log_config]\nversion = 1\n[log_config.root]\nlevel = 'INFO'")
    assert found == {"log_config": {"version": 1, "root": {"level": "INFO"}}}


@pytest.mark.parametrize("name", [declared.name for declared in settings()])
def test_every_setting_of_the_command_line_can_be_in_a_file(tmp_path: Path, name: str) -> None:
    """A date is a value for no setting: the line for it tells that the name is known."""
    line = ""
    try:
        read(tmp_path, f"{name} = 2020-01-01")
    except ConfigError as error:
        line = str(error)
    assert "there is no such setting" not in line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("prot = 1", "serve.toml: prot: there is no such setting; did you mean port?"),
        (
            "timeout-keepalive = 1",
            "serve.toml: timeout-keepalive: there is no such setting; did you mean timeout_keep_alive?",
        ),
        ("zzz = 1", "serve.toml: zzz: there is no such setting"),
        ("port = '1'", "serve.toml: port: '1' is not a whole number"),
        ("port = 65536", "serve.toml: port: 65536 is not from 0 to 65535"),
        ("port = true", "serve.toml: port: True is not a whole number"),
        ("access_log = 'no'", "serve.toml: access_log: 'no' is not true or false"),
        (
            "log_level = 'loud'",
            "serve.toml: log_level: 'loud' is not one of critical, error, warning, info, debug, trace",
        ),
        ("app = 1", "serve.toml: app: 1 is not text"),
        ("headers = 'X-A:1'", "serve.toml: headers: 'X-A:1' is not a list"),
        ("headers = ['X-A']", "serve.toml: headers: 'X-A' is not a pair of a name and a value"),
        ("headers = [1]", "serve.toml: headers: 1 is not a pair of a name and a value"),
        ("[headers]\nX-A = 1", "serve.toml: headers: ('X-A', 1) is not a pair of a name and a value"),
        ("log-level = 'info'\nlog_level = 'info'", "serve.toml: log_level: the same setting is there twice"),
        ("port = 1\n[threadserve]\nhost = 'a'", "serve.toml: port: stands outside of [threadserve]"),
        ("threadserve = 1", "serve.toml: there is no table [threadserve]"),
        ("port =", "serve.toml: Invalid value (at end of document)"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, line: str) -> None:
    assert refused(tmp_path, text) == line


def test_a_project_file_without_the_table(tmp_path: Path) -> None:
    assert refused(tmp_path, "port = 1", "pyproject.toml") == "pyproject.toml: there is no table [tool.threadserve]"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^config: .+/none\.toml: No such file or directory$"):
        read_config_file(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigError, match=r"^config: .+/bytes\.toml: .+ can't decode byte 0xff"):
        read_config_file(tmp_path / "bytes.toml")


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        (None, False),
        ("", False),
        ("[tool.other]\nport = 1", False),
        ("[threadserve]\nport = 1", False),
        ("tool = 1", False),
        ("[tool.threadserve]", True),
        ("[tool.threadserve]\nprot = 1", True),
    ],
)
def test_the_project_file_is_found_if_it_has_the_table(tmp_path: Path, text: str | None, is_found: bool) -> None:
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text)
    assert find_config_file(tmp_path) == (tmp_path / "pyproject.toml" if is_found else None)


def test_a_project_file_that_is_no_toml(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.threadserve\n")
    with pytest.raises(ConfigError, match=r"^config: .+/pyproject\.toml: Expected '\]' at the end of a table"):
        find_config_file(tmp_path)
