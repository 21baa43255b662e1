"""What configures logging: dicts, files in three formats, and the settings beside them."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest
from support.loggers import access, configured, error, parent, restored_loggers
from support.server_process import ServerProcess
from support.waiting import wait_until

from threadserve.config import LOGGING_CONFIG, Config
from threadserve.errors import ConfigError
from threadserve.logging.configuring import configure_logging
from threadserve.logging.formatters import TRACE_LOG_LEVEL

MESSAGE = '%s - "%s %s HTTP/%s" %d'
ENTRY = ("127.0.0.1:54321", "GET", "/", "1.1", 200)
ACCESS_LINE = 'INFO:     127.0.0.1:54321 - "GET / HTTP/1.1" 200 OK\n'

# What people have in their files for Uvicorn, with the one word replaced.
YAML = """
version: 1
disable_existing_loggers: false
formatters:
  default:
    (): threadserve.logging.DefaultFormatter
    fmt: "%(levelprefix)s to file: %(message)s"
    use_colors: null
  access:
    (): threadserve.logging.AccessFormatter
    fmt: '%(client_addr)s "%(request_line)s" %(status_code)s'
handlers:
  default: {class: logging.StreamHandler, formatter: default, stream: ext://sys.stderr}
  access: {class: logging.StreamHandler, formatter: access, stream: ext://sys.stdout}
loggers:
  threadserve: {handlers: [default], level: INFO, propagate: false}
  threadserve.error: {level: INFO}
  threadserve.access: {handlers: [access], level: INFO, propagate: false}
"""
INI = """
[loggers]
keys=root, threadserve, access

[handlers]
keys=default, access

[formatters]
keys=default, access

[logger_root]
level=WARNING
handlers=

[logger_threadserve]
level=INFO
handlers=default
propagate=0
qualname=threadserve

[logger_access]
level=INFO
handlers=access
propagate=0
qualname=threadserve.access

[handler_default]
class=StreamHandler
formatter=default
args=(sys.stderr,)

[handler_access]
class=StreamHandler
formatter=access
args=(sys.stdout,)

[formatter_default]
class=threadserve.logging.DefaultFormatter
format=%(levelprefix)s to file: %(message)s

[formatter_access]
class=threadserve.logging.AccessFormatter
format=%(client_addr)s "%(request_line)s" %(status_code)s
"""


@pytest.fixture(autouse=True)
def _restored_loggers() -> Iterator[None]:
    with restored_loggers():
        yield


@pytest.mark.parametrize(("use_colors", "colored"), [(True, True), (False, False), (None, False)])
def test_use_colors_setting(capsys: pytest.CaptureFixture[str], use_colors: bool | None, colored: bool) -> None:
    configured(use_colors=use_colors)
    error.info("hello")
    access.info(MESSAGE, *ENTRY)
    out, err = capsys.readouterr()
    assert ("\x1b[" in out, "\x1b[" in err) == (colored, colored)


def test_use_colors_leaves_other_formatters_and_the_config_alone(capsys: pytest.CaptureFixture[str]) -> None:
    config = Config("main:app", use_colors=True)
    assert isinstance(config.log_config, dict)
    config.log_config["formatters"]["default"] = {"format": "mine %(message)s"}
    configure_logging(config)
    error.info("hello")
    access.info(MESSAGE, *ENTRY)
    out, err = capsys.readouterr()
    assert err == "mine hello\n"
    assert "\x1b[" in out
    assert config.log_config["formatters"]["access"]["use_colors"] is None


@pytest.mark.parametrize(
    ("log_level", "number"),
    [(None, logging.INFO), ("trace", TRACE_LOG_LEVEL), ("debug", 10), ("warning", 30), ("critical", 50), (15, 15)],
)
def test_log_level(log_level: Any, number: int) -> None:
    configured(log_level=log_level)
    assert (error.level, access.level) == (number, number)


def test_without_log_config_only_levels_change() -> None:
    own = logging.NullHandler()
    error.addHandler(own)
    before = [(logger.handlers[:], logger.propagate, logger.disabled) for logger in (parent, error, access)]
    configured(log_config=None, log_level="debug")
    assert [(logger.handlers, logger.propagate, logger.disabled) for logger in (parent, error, access)] == before
    assert (error.level, access.level) == (10, 10)


def test_without_log_config_and_level_nothing_changes() -> None:
    error.setLevel(17)
    configured(log_config=None)
    assert error.level == 17


def test_access_log_off(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    configured(access_log=False)
    access.info(MESSAGE, *ENTRY)
    assert not access.hasHandlers()
    assert capsys.readouterr() == ("", "")
    assert not caplog.records


def test_a_later_configuration_turns_the_access_log_on_again(capsys: pytest.CaptureFixture[str]) -> None:
    configured(access_log=False)
    configured()
    access.info(MESSAGE, *ENTRY)
    assert capsys.readouterr() == (ACCESS_LINE, "")


def as_dict() -> dict[str, Any]:
    """The configuration in YAML as a dict."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is optional")
    loaded: dict[str, Any] = yaml.safe_load(YAML)
    return loaded


def log_both(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Logs a request and a message; returns what is on stdout and stderr."""
    access.info(MESSAGE, *ENTRY)
    error.info("hello")
    return capsys.readouterr()


@pytest.mark.parametrize("name", ["log.json", "log.yaml", "log.yml", "log.YAML", "log.ini", "log.conf"])
@pytest.mark.parametrize("kind", [str, Path])
def test_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, kind: Any) -> None:
    path = tmp_path / name
    path.write_text({".json": json.dumps(as_dict()), ".ini": INI, ".conf": INI}.get(path.suffix, YAML))
    configured(log_config=kind(path))
    assert log_both(capsys) == ('127.0.0.1:54321 "GET / HTTP/1.1" 200 OK\n', "INFO:     to file: hello\n")


def test_a_parser(capsys: pytest.CaptureFixture[str]) -> None:
    parser = RawConfigParser()
    parser.read_string(INI)
    configured(log_config=parser)
    assert log_both(capsys)[1] == "INFO:     to file: hello\n"


def test_an_open_file(capsys: pytest.CaptureFixture[str]) -> None:
    configured(log_config=io.StringIO(INI))
    assert log_both(capsys)[1] == "INFO:     to file: hello\n"


def test_files_leave_other_loggers_alone(tmp_path: Path) -> None:
    (tmp_path / "log.ini").write_text(INI)
    other = logging.getLogger("other")
    configured(log_config=tmp_path / "log.ini")
    assert not other.disabled


def test_the_level_goes_before_the_files(tmp_path: Path) -> None:
    (tmp_path / "log.ini").write_text(INI)
    configured(log_config=tmp_path / "log.ini", log_level="warning")
    assert (error.level, access.level) == (30, 30)


def test_use_colors_goes_to_the_formatters_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.json").write_text(json.dumps(LOGGING_CONFIG))
    configured(log_config=tmp_path / "log.json", use_colors=True)
    assert "\x1b[" in log_both(capsys)[0]


def test_uvicorns_own_configuration_with_the_word_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    uvicorn = pytest.importorskip("uvicorn.config", reason="Uvicorn is not installed")
    configured(log_config=json.loads(json.dumps(uvicorn.LOGGING_CONFIG).replace("uvicorn", "threadserve")))
    assert log_both(capsys) == (ACCESS_LINE, "INFO:     hello\n")


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("log.json", "{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("log.json", "[]", "there must be a mapping at the top, not list"),
        ("log.json", "{}", "dictionary doesn't specify a version"),
        ("log.json", '{"version": 1, "formatters": ["a"]}', "Unable to configure formatter 'a': list indices"),
        ("log.json", '{"version": 1, "root": {"handlers": ["x"]}}', "Unable to configure root logger"),
        (
            "log.json",
            '{"version": 1, "formatters": {"a": {"()": "threadserve.logging.Formater"}}}',
            "Unable to configure formatter 'a': Cannot resolve 'threadserve.logging.Formater'",
        ),
        (
            "log.json",
            '{"version": 1, "handlers": {"a": {"class": "logging.FileHandler", "filename": "/nowhere/log"}}}',
            "Unable to configure handler 'a': No such file or directory",
        ),
        ("log.yaml", "a: [", "while parsing a flow node"),
        ("log.yml", "- a", "there must be a mapping at the top, not list"),
        ("log.yml", "", "there must be a mapping at the top, not NoneType"),
        ("log.ini", "", "'formatters' is missing"),
        ("log.ini", "text", "File contains no section headers"),
        ("log.ini", "[loggers]\nkeys=root", "'formatters' is missing"),
        ("log.ini", INI.replace("args=(sys.stdout,)", "args=(sys.stdin2,)"), "module 'sys' has no attribute 'stdin2'"),
        ("log.ini", INI.replace("class=StreamHandler", "class=NoHandler"), "No module named 'NoHandler'"),
    ],
)
def test_a_mistake_in_a_file_is_told_in_one_line(tmp_path: Path, name: str, text: str, fault: str) -> None:
    if "yml" in name or "yaml" in name:
        pytest.importorskip("yaml", reason="PyYAML is optional")
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        configured(log_config=path)
    assert str(raised.value).startswith(f"log_config: {path}: {fault}")
    assert len(str(raised.value)) > len(f"log_config: {path}: ")
    assert "\n" not in str(raised.value)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "log.json").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"log\.json: .+can't decode byte 0xff"):
        configured(log_config=str(tmp_path / "log.json"))


@pytest.mark.parametrize("suffix", ["json", "yaml", "ini"])
def test_a_file_that_is_not_there(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"log.{suffix}"
    with pytest.raises(ConfigError) as raised:
        configured(log_config=path)
    assert str(raised.value) == f"log_config: {path}: No such file or directory"


def test_a_mistake_in_a_dict() -> None:
    with pytest.raises(ConfigError, match=r"^log_config: Unable to configure handler 'x': "):
        configured(log_config={"version": 1, "handlers": {"x": {"class": "logging.NoHandler"}}})


def test_yaml_without_pyyaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "log.yaml").write_text(YAML)
    with pytest.raises(ConfigError, match=r"log\.yaml: reading YAML needs PyYAML; pip install pyyaml$"):
        configured(log_config=tmp_path / "log.yaml")


def test_a_servers_log_goes_to_the_files_of_its_configuration(tmp_path: Path) -> None:
    text = INI.replace("class=StreamHandler", "class=FileHandler")
    text = text.replace("sys.stderr", "'error.log'").replace("sys.stdout", "'access.log'")
    (tmp_path / "log.ini").write_text(text)
    (tmp_path / "app.py").write_text("async def app(scope, receive, send):\n    raise RuntimeError\n")
    process = ServerProcess("app:app", "--log-config", "log.ini", cwd=tmp_path)
    process.start(wait=False)
    try:
        log = tmp_path / "error.log"
        wait_until(lambda: log.exists() and "threadserve running on" in log.read_text(), "the server's log")
        assert process.stop() == 0
    finally:
        process.kill()
    assert process.stderr == process.stdout == ""


def test_a_mistake_ends_the_command_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "log.json").write_text("{")
    process = ServerProcess("app:app", "--log-config", "log.json", cwd=tmp_path)
    process.start(wait=False)
    try:
        assert process.wait() == 2
    finally:
        process.kill()
    assert process.stderr.startswith("Error: Invalid value for '--log-config': log.json: Expecting property name")
    assert process.stderr.count("\n") == 1
