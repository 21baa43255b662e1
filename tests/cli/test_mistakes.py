"""One line and an exit code for every mistake."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from support.command_line import APP, Calls, assert_one_line, invoke, run_module

import threadserve
from threadserve.cli import command
from threadserve.cli.other_servers import SERVICE_HINT
from threadserve.errors import (
    AppImportFailed,
    AppLoadError,
    BindError,
    ConfigError,
    StartupFailed,
    ThreadserveError,
    TooManyThreadDeaths,
)

BAD_VALUES = [
    ("--port", "abc", "'abc' is not a whole number"),
    ("--port", "65536", "65536 is not from 0 to 65535"),
    ("--port", "", "'' is not a whole number"),
    ("--threads", "1.5", "'1.5' is not a whole number or auto"),
    ("--threads", "many", "'many' is not a whole number or auto"),
    ("--threads", "0", "0 is not from 1 to 1024"),
    ("--workers", "many", "'many' is not a whole number or auto"),
    ("--timeout-keep-alive", "5s", "'5s' is not a number"),
    ("--timeout-keep-alive", "nan", "nan is not a finite number"),
    ("--timeout-graceful-shutdown", "-1", "-1.0 is not from 0 to 1000000000"),
    ("--loop", "UVLOOP", "'UVLOOP' is not one of auto, asyncio, uvloop, none, or module:attribute"),
    ("--log-level", "INFO", "'INFO' is not one of critical, error, warning, info, debug, trace"),
    ("--log-level", "10", "'10' is not one of critical, error, warning, info, debug, trace"),
    ("--app-dir", "no/such/folder", "there is no folder 'no/such/folder'"),
    ("--header", "X-Frame-Options", "'X-Frame-Options' has no colon; a header is Name:Value"),
    ("--header", ":value", "'' is not a header's name"),
    ("--header", "X Frame: DENY", "'X Frame' is not a header's name"),
    ("--header", "X-Frame : DENY", "'X-Frame ' is not a header's name"),
    (
        "--header",
        "X: a\r\nSet-Cookie: b",
        "'a\\r\\nSet-Cookie: b', the value of X, has '\\r', which no header may have",
    ),
    ("--header", "X: a\nb", "'a\\nb', the value of X, has '\\n', which no header may have"),
    ("--header", "X: a\0b", "'a\\x00b', the value of X, has '\\x00', which no header may have"),
]

BAD_VARIABLES = [
    ("PORT", "--port", "tcp://10.0.0.1:80", "'tcp://10.0.0.1:80' is not a whole number"),
    ("LOOP", "--loop", "uvlop", "'uvlop' is not one of auto, asyncio, uvloop, none, or module:attribute"),
    ("FACTORY", "--factory", "maybe", "'maybe' is not true or false"),
    ("ACCESS_LOG", "--access-log", "maybe", "'maybe' is not true or false"),
    ("TIMEOUT_KEEP_ALIVE", "--timeout-keep-alive", "5s", "'5s' is not a number"),
    ("HEADERS", "--header", "A: b\nC", "'C' has no colon; a header is Name:Value"),
]


@pytest.mark.parametrize(("flag", "text", "problem"), BAD_VALUES)
def test_a_bad_value_is_one_line(served: Calls, flag: str, text: str, problem: str) -> None:
    assert_one_line(invoke(APP, flag, text), f"Invalid value for '{flag}': {problem}")
    assert served == []


@pytest.mark.parametrize(("name", "flag", "text", "problem"), BAD_VARIABLES)
def test_a_bad_value_in_a_variable_names_the_variable(
    served: Calls, name: str, flag: str, text: str, problem: str
) -> None:
    origin = f"'{flag}' (environment variable THREADSERVE_{name})"
    assert_one_line(invoke(APP, **{name: text}), f"Invalid value for {origin}: {problem}")
    assert served == []


def test_a_bad_value_on_the_command_line_does_not_name_the_variable() -> None:
    assert_one_line(invoke(APP, "--port", "x", PORT="80"), "Invalid value for '--port': 'x' is not a whole number")


@pytest.mark.parametrize(
    ("mistake", "remedy"),
    [
        ("--prot", "--port"),
        ("--acces-log", "--access-log"),
        ("--no-colors", "--no-use-colors"),
        ("--headers", "--header"),
        ("--timeout-keepalive", "--timeout-keep-alive"),
        ("--worker", "--workers"),
        ("-w", "--workers"),
        ("-b", "--bind"),
    ],
)
def test_an_unknown_option_gets_a_suggestion(mistake: str, remedy: str) -> None:
    line = f"No such option '{mistake}'. Did you mean {remedy}?"
    assert_one_line(invoke(APP, mistake, "1"), line)


@pytest.mark.parametrize(
    ("mistake", "remedy"),
    [("--preload", "Leave it out: threads share one copy of the code."), ("--daemon", SERVICE_HINT)],
)
def test_an_option_that_is_not_needed_says_so(mistake: str, remedy: str) -> None:
    assert_one_line(invoke(APP, mistake), f"No such option '{mistake}'. {remedy}")


@pytest.mark.parametrize("mistake", ["--statsd", "-x"])
def test_an_option_unlike_any_gets_no_suggestion(mistake: str) -> None:
    assert_one_line(invoke(APP, mistake), f"No such option '{mistake}'.")


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [(["--port"], "--port"), (["--factory=yes"], "--factory"), (["8000"], "8000"), (["--no-port", "1"], "--no-port")],
)
def test_other_bad_usage_is_one_line_too(arguments: list[str], culprit: str) -> None:
    result = invoke(APP, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(rf"Error: [^\n]*{culprit}[^\n]*\n", result.stderr)


def test_a_missing_application_shows_the_usage() -> None:
    result = invoke("--port", "80")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: threadserve [OPTIONS] APP\n")
    assert "Missing argument 'APP'" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("option", "hint"),
    [("port", "'--port'"), ("headers", "'--header'"), ("server_header", "'--server-header'"), ("app", "'APP'")],
)
def test_what_config_refuses_is_told_like_a_bad_value(
    failing: Callable[[BaseException], Result], option: str, hint: str
) -> None:
    assert_one_line(failing(ConfigError(option, "'x' is bad")), f"Invalid value for {hint}: 'x' is bad")


def test_what_config_refuses_and_no_option_sets_is_told_as_it_is(failing: Callable[[BaseException], Result]) -> None:
    assert_one_line(failing(ConfigError("ssl_context_factory", "no")), "ssl_context_factory: no")


def test_what_config_refuses_from_a_variable_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(app: str, **given: Any) -> None:
        raise ConfigError("http", "no parser")

    monkeypatch.setattr(command, "run", run)
    line = "Invalid value for '--http' (environment variable THREADSERVE_HTTP): no parser"
    assert_one_line(invoke(APP, HTTP="h11"), line)


@pytest.mark.parametrize(
    ("kind", "exit_code"), [(AppLoadError, 3), (BindError, 3), (StartupFailed, 3), (TooManyThreadDeaths, 4)]
)
def test_an_error_is_a_line_and_its_exit_code(
    failing: Callable[[BaseException], Result], kind: type[ThreadserveError], exit_code: int
) -> None:
    assert_one_line(failing(kind("what went wrong")), "what went wrong", exit_code)


def test_an_interrupt_before_the_start_is_quiet(failing: Callable[[BaseException], Result]) -> None:
    result = failing(KeyboardInterrupt())
    assert (result.exit_code, result.output) == (130, "")


def test_another_error_is_not_hidden(failing: Callable[[BaseException], Result]) -> None:
    assert isinstance(failing(ZeroDivisionError()).exception, ZeroDivisionError)


def failing_load(source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `run` fail as the loader does when importing an application with this source raises."""
    (folder / "failing_app.py").write_text(source)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "failing_app", raising=False)
    loader = str(Path(threadserve.__file__).parent / "app" / "loading.py")
    code = compile("import importlib\nimportlib.import_module('failing_app')", loader, "exec")

    def run(app: str, **given: Any) -> None:
        try:
            exec(code)
        except Exception as error:
            # The frame of this function stands for none of the server's.
            error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
            raise AppImportFailed("main:app cannot be imported") from error

    monkeypatch.setattr(command, "run", run)


def test_the_traceback_of_an_application_shows_its_own_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "failing_part.py").write_text(
        "try:\n    {}['key']\nexcept KeyError as e:\n    raise ValueError from e\n"
    )
    failing_load("import importlib\nimportlib.import_module('failing_part')\n", tmp_path, monkeypatch)
    result = invoke(APP)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == "Error: main:app cannot be imported"
    assert "KeyError: 'key'" in result.stderr
    frames = re.findall(r'File "(.*)", line (\d+)', result.stderr)
    part, app = str(tmp_path / "failing_part.py"), str(tmp_path / "failing_app.py")
    assert frames == [(part, "2"), (app, "2"), (part, "4")]


def test_a_syntax_error_is_shown_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_load("def app(:\n", tmp_path, monkeypatch)
    result = invoke(APP)
    assert result.exit_code == 1
    assert re.findall(r'File "(.*)", line (\d+)', result.stderr) == [(str(tmp_path / "failing_app.py"), "1")]
    assert "SyntaxError" in result.stderr.splitlines()[-2]


def test_a_failed_import_without_a_cause_is_its_line(failing: Callable[[BaseException], Result]) -> None:
    assert_one_line(failing(AppImportFailed("main:app cannot be imported")), "main:app cannot be imported", 1)


def test_the_process_ends_with_the_line_and_the_exit_code() -> None:
    option = run_module("main:app", "--port", "x")
    assert (option.returncode, option.stdout) == (2, "")
    assert option.stderr == "Error: Invalid value for '--port': 'x' is not a whole number\n"
    variable = run_module("main:app", THREADSERVE_LOOP="uvlop")
    assert (variable.returncode, variable.stdout) == (2, "")
    assert re.fullmatch(r"Error: .*THREADSERVE_LOOP.*'uvlop'.*\n", variable.stderr)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("PROT", " Did you mean THREADSERVE_PORT?"),
        ("THREAD", " Did you mean THREADSERVE_THREADS?"),
        ("TIMEOUT_KEEPALIVE", " Did you mean THREADSERVE_TIMEOUT_KEEP_ALIVE?"),
        ("SERVICE_HOST", ""),
    ],
)
def test_a_variable_that_is_no_options_is_told_of(served: Calls, name: str, hint: str) -> None:
    result = invoke(APP, **{name: "1", "PORT": "80"})
    assert result.stderr == f"Warning: There is no option for the environment variable THREADSERVE_{name}.{hint}\n"
    assert (result.exit_code, served) == (0, [(APP, {"port": 80})])


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (["PORT"], "UVICORN_PORT is not read: it is called THREADSERVE_PORT."),
        (
            ["PORT", "APP", "HEADERS", "ACCESS_LOG"],
            "UVICORN_ACCESS_LOG, UVICORN_APP, UVICORN_HEADERS, UVICORN_PORT are not read: they are called "
            "THREADSERVE_ACCESS_LOG, THREADSERVE_APP, THREADSERVE_HEADERS, THREADSERVE_PORT.",
        ),
        # Set by our name as well, and nobody's option.
        (["HOST", "SERVICE_HOST"], None),
        (["HOST", "FD"], "UVICORN_FD is not read: it is called THREADSERVE_FD."),
    ],
)
def test_variables_by_uvicorns_names_are_told_of(
    served: Calls, monkeypatch: pytest.MonkeyPatch, names: list[str], line: str | None
) -> None:
    for name in names:
        monkeypatch.setenv(f"UVICORN_{name}", "1")
    # An empty variable sets nothing.
    monkeypatch.setenv("UVICORN_WORKERS", "")
    result = invoke(APP, HOST="::1")
    assert result.stderr == (f"Warning: {line}\n" if line else "")
    assert (result.exit_code, served) == (0, [(APP, {"host": "::1"})])


def test_variables_of_options_of_the_command_and_of_the_forms_are_known(
    served: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("settings.toml").write_text("port = 80")
    result = invoke(APP=APP, CONFIG="settings.toml", THREADS="2", PURE="1", BUILD="pure")
    assert (result.exit_code, result.stderr) == (0, "")
    assert served == [(APP, {"port": 80, "threads": 2})]
