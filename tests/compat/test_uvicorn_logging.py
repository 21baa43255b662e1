"""What was made for Uvicorn's log, and is taken for ours: its loggers' names and its formatters."""

import copy
import json
import logging
import logging.config
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest
from support.loggers import access, configured, error, parent, restored_loggers
from support.server_process import PACKAGE_ROOT

from threadserve.compat.loggers import alias_loggers

MESSAGE = '%s - "%s %s HTTP/%s" %d'
ENTRY = ("127.0.0.1:54321", "GET", "/", "1.1", 200)
ACCESS_LINE = 'INFO:     127.0.0.1:54321 - "GET / HTTP/1.1" 200 OK\n'

UVICORNS = {
    "version": 1,
    "formatters": {
        "default": {"()": "uvicorn.logging.DefaultFormatter", "fmt": "%(levelprefix)s %(message)s", "use_colors": None},
        "access": {
            "()": "uvicorn.logging.AccessFormatter",
            "fmt": '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s',
        },
        "by class": {"class": "uvicorn.logging.ColourizedFormatter", "format": "%(levelprefix)s by class"},
    },
    "handlers": {
        "default": {"formatter": "default", "class": "logging.StreamHandler", "stream": "ext://sys.stderr"},
        "access": {"formatter": "access", "class": "logging.StreamHandler", "stream": "ext://sys.stdout"},
        "by class": {"formatter": "by class", "class": "logging.StreamHandler", "stream": "ext://sys.stderr"},
    },
    "loggers": {
        "uvicorn": {"handlers": ["default"], "level": "INFO", "propagate": False},
        "uvicorn.error": {"level": "INFO"},
        "uvicorn.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
    },
}
INI = """
[loggers]
keys=root,uvicorn,access
[handlers]
keys=default,access
[formatters]
keys=default,access
[logger_root]
handlers=
[logger_uvicorn]
level=INFO
handlers=default
propagate=0
qualname=uvicorn
[logger_access]
level=INFO
handlers=access
propagate=0
qualname=uvicorn.access
[handler_default]
class=StreamHandler
formatter=default
args=(sys.stderr,)
[handler_access]
class=StreamHandler
formatter=access
args=(sys.stdout,)
[formatter_default]
class=uvicorn.logging.DefaultFormatter
format=%(levelprefix)s %(message)s
[formatter_access]
class=uvicorn.logging.AccessFormatter
format=%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s
"""


@pytest.fixture(autouse=True)
def _restored_loggers() -> Iterator[None]:
    with restored_loggers():
        yield


@pytest.fixture
def _uvicorn_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "uvicorn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)


def log_both(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Logs a request and a message; returns what is on stdout and stderr."""
    access.info(MESSAGE, *ENTRY)
    error.info("hello")
    return capsys.readouterr()


def as_yaml(folder: Path) -> str:
    yaml = pytest.importorskip("yaml", reason="PyYAML is optional")
    (folder / "log.yaml").write_text(yaml.safe_dump(UVICORNS))
    return str(folder / "log.yaml")


def as_json(folder: Path) -> Path:
    (folder / "log.json").write_text(json.dumps(UVICORNS))
    return folder / "log.json"


def as_ini(folder: Path) -> Path:
    (folder / "log.ini").write_text(INI)
    return folder / "log.ini"


def as_parser(folder: Path) -> RawConfigParser:
    parser = RawConfigParser()
    parser.read_string(INI)
    return parser


@pytest.mark.usefixtures("_uvicorn_is_not_installed")
@pytest.mark.parametrize("source", [lambda folder: copy.deepcopy(UVICORNS), as_json, as_yaml, as_ini, as_parser])
def test_a_configuration_for_uvicorn_is_one_for_us(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: Callable[[Path], Any]
) -> None:
    given = source(tmp_path)
    configured(log_config=given)
    assert log_both(capsys) == (ACCESS_LINE, "INFO:     hello\n")
    if isinstance(given, dict):
        assert given == UVICORNS


def test_records_carry_the_name_by_which_their_logger_was_configured(capsys: pytest.CaptureFixture[str]) -> None:
    config: dict[str, Any] = copy.deepcopy(UVICORNS)
    config["filters"] = {"by name": {"name": "uvicorn.access"}}
    config["handlers"]["access"]["filters"] = ["by name"]
    configured(log_config=config)
    assert log_both(capsys)[0] == ACCESS_LINE
    config["formatters"]["access"] = {"format": "%(name)s"}
    configured(log_config=config)
    assert log_both(capsys)[0] == "uvicorn.access\n"
    configured(log_config=json.loads(json.dumps(config).replace("uvicorn", "threadserve")))
    assert log_both(capsys)[0] == "threadserve.access\n"


def test_both_names_stand_for_one_logger(capsys: pytest.CaptureFixture[str]) -> None:
    configured()
    for ours, name in ((parent, "uvicorn"), (error, "uvicorn.error"), (access, "uvicorn.access")):
        assert logging.getLogger(name) is ours
        assert pickle.loads(pickle.dumps(ours)) is ours
    logging.getLogger("uvicorn.error").info("from the application")
    logging.getLogger("uvicorn.of.an.application").info("and from below")
    logging.getLogger("uvicorn.access").addFilter(lambda record: "/health" not in (record.args or ()))
    access.info(MESSAGE, *ENTRY[:2], "/health", *ENTRY[3:])
    assert log_both(capsys) == (
        ACCESS_LINE,
        "INFO:     from the application\nINFO:     and from below\nINFO:     hello\n",
    )


@pytest.fixture
def early() -> Iterator[logging.Logger]:
    """`uvicorn.error`, as a program has got it before a server was made."""
    loggers = logging.Logger.manager.loggerDict
    before = {name: loggers.pop(name) for name in list(loggers) if name.startswith("uvicorn")}
    yield logging.getLogger("uvicorn.error")
    loggers.update(before)


def test_a_logger_that_was_there_before_is_the_same_one_too(
    capsys: pytest.CaptureFixture[str], early: logging.Logger
) -> None:
    assert early is not error
    early.addFilter(lambda record: record.getMessage() != "hidden")
    configured()
    early.info("from %s", "before")
    error.info("hidden")
    early.setLevel(logging.ERROR)
    error.warning("no longer wanted")
    early.addFilter(lambda record: False)
    error.error("nor this")
    assert capsys.readouterr() == ("", "INFO:     from before\n")


def test_what_was_set_up_before_stays_where_nothing_is_configured(
    capsys: pytest.CaptureFixture[str], early: logging.Logger
) -> None:
    handler = logging.StreamHandler(sys.stdout)
    early.addHandler(handler)
    early.setLevel(logging.DEBUG)
    early.propagate = False
    configured(log_config=None)
    error.debug("hello")
    assert capsys.readouterr() == ("hello\n", "")


class OwnLogger(logging.Logger):
    """A class of loggers that a program has chosen."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.context = "own"


def test_a_logger_of_a_programs_own_class_keeps_what_it_has(early: logging.Logger) -> None:
    logging.setLoggerClass(OwnLogger)
    try:
        own = logging.getLogger("uvicorn.asgi")
    finally:
        logging.setLoggerClass(logging.Logger)
    alias_loggers()
    assert isinstance(own, OwnLogger)
    assert own.context == "own"
    assert own.handlers is logging.getLogger("threadserve.asgi").handlers


def by_dict() -> None:
    logging.config.dictConfig({"version": 1, "root": {"level": "INFO"}, "loggers": {"site": {"level": "INFO"}}})


def by_file() -> None:
    text = "[loggers]\nkeys=root\n[handlers]\nkeys=\n[formatters]\nkeys=\n[logger_root]\nlevel=INFO\nhandlers="
    parser = RawConfigParser()
    parser.read_string(text)
    logging.config.fileConfig(parser)


@pytest.mark.parametrize("configure", [by_dict, by_file])
def test_what_an_application_configures_does_not_silence_the_server(
    capsys: pytest.CaptureFixture[str], configure: Callable[[], None]
) -> None:
    configured()
    other = logging.getLogger("a.library")
    configure()
    assert log_both(capsys) == (ACCESS_LINE, "INFO:     hello\n")
    assert other.disabled
    other.disabled = False


def test_a_configuration_of_ours_that_names_other_loggers_only_does_not_either(
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = {
        "version": 1,
        "handlers": {"plain": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"}},
        "root": {"level": "INFO", "handlers": ["plain"]},
    }
    configured(log_config=config)
    assert log_both(capsys) == ("", '127.0.0.1:54321 - "GET / HTTP/1.1" 200\nhello\n')


PAIRS = pytest.mark.parametrize(
    ("above", "below"),
    [("threadserve", "uvicorn.access"), ("uvicorn", "threadserve.access")],
    ids=["uvicorn", "threadserve"],
)


@PAIRS
def test_a_configuration_may_mix_the_names(capsys: pytest.CaptureFixture[str], above: str, below: str) -> None:
    config: dict[str, Any] = copy.deepcopy(UVICORNS)
    loggers = config.pop("loggers")
    configured(log_config={**config, "loggers": {above: loggers["uvicorn"], below: loggers["uvicorn.access"]}})
    assert log_both(capsys) == (ACCESS_LINE, "INFO:     hello\n")
    assert (parent.name, access.name) == (above, below)


@PAIRS
def test_a_file_may_mix_the_names(capsys: pytest.CaptureFixture[str], above: str, below: str) -> None:
    parser = RawConfigParser()
    parser.read_string(INI)
    parser.set("logger_uvicorn", "qualname", above)
    parser.set("logger_access", "qualname", below)
    configured(log_config=parser)
    assert log_both(capsys) == (ACCESS_LINE, "INFO:     hello\n")
    assert (parent.name, access.name) == (above, below)


def test_what_a_configuration_leaves_unnamed_is_logged_by_what_it_names(capsys: pytest.CaptureFixture[str]) -> None:
    config: dict[str, Any] = copy.deepcopy(UVICORNS)
    config["formatters"]["default"] = {"format": "%(message)s"}
    for name in ("uvicorn", "threadserve"):
        configured()
        configured(log_config={**config, "loggers": {name: config["loggers"]["uvicorn"]}})
        assert log_both(capsys) == ("", '127.0.0.1:54321 - "GET / HTTP/1.1" 200\nhello\n')


def test_who_means_it_can_disable_a_logger(capsys: pytest.CaptureFixture[str]) -> None:
    configured()
    logging.getLogger("uvicorn.access").disabled = True
    assert log_both(capsys) == ("", "INFO:     hello\n")
    configured()
    assert log_both(capsys) == (ACCESS_LINE, "INFO:     hello\n")


@pytest.mark.usefixtures("_uvicorn_is_not_installed")
def test_an_applications_own_loggers_may_have_uvicorns_formatters(capsys: pytest.CaptureFixture[str]) -> None:
    configured()
    config: dict[str, Any] = copy.deepcopy(UVICORNS)
    config["loggers"] = {"site": {"handlers": ["default", "by class"], "level": "INFO"}}
    logging.config.dictConfig(config)
    logging.getLogger("site").info("hello")
    assert capsys.readouterr() == ("", "INFO:     hello\nINFO:     by class\n")


def test_a_program_that_serves_with_uvicorn_as_well_sees_its_log(capsys: pytest.CaptureFixture[str]) -> None:
    uvicorn = pytest.importorskip("uvicorn.config", reason="Uvicorn is not installed")
    configured()
    uvicorn.Config("main:app")
    assert log_both(capsys) == (ACCESS_LINE, "INFO:     hello\n")
    configured()
    assert log_both(capsys) == (ACCESS_LINE, "INFO:     hello\n")


def test_importing_the_package_takes_no_names() -> None:
    program = "import threadserve, logging; print([n for n in logging.Logger.manager.loggerDict if n[:7] == 'uvicorn'])"
    done = subprocess.run([sys.executable, "-c", program], cwd=PACKAGE_ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
