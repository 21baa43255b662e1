"""The command line: what reaches the server, the help, and one line and an exit code for every mistake."""

import os
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import threadserve
from threadserve.cli import command as cli
from threadserve.config import Config, groups, settings
from threadserve.errors import (
    AppImportFailed,
    AppLoadError,
    BindError,
    ConfigError,
    StartupFailed,
    ThreadserveError,
    TooManyDeaths,
)

APP = "main:app"

# For each setting: how an option gives it, how the environment does, and what the server then gets.
GIVEN: dict[str, tuple[list[str], str, object]] = {
    "host": (["--host", "::1"], "::1", "::1"),
    "port": (["--port", "0"], "0", 0),
    "backlog": (["--backlog=9"], "9", 9),
    "threads": (["--threads", "4"], "4", 4),
    "distribute": (["--distribute", "kernel"], "kernel", "kernel"),
    "loop": (["--loop", "asyncio"], "asyncio", "asyncio"),
    "http": (["--http", "h11"], "h11", "h11"),
    "app_dir": (["--app-dir", ".."], "..", ".."),
    "factory": (["--factory"], "1", True),
    "app_instance": (["--app-instance", "shared"], "shared", "shared"),
    "interface": (["--interface", "asgi2"], "asgi2", "asgi2"),
    "lifespan": (["--lifespan", "off"], "off", "off"),
    "root_path": (["--root-path", "/api"], "/api", "/api"),
    "limit_concurrency": (["--limit-concurrency", "7"], "7", 7),
    "limit_max_requests": (["--limit-max-requests", "8"], "8", 8),
    "limit_max_requests_jitter": (["--limit-max-requests-jitter", "2"], "2", 2),
    "limit_request_header_size": (["--limit-request-header-size", "8192"], "8192", 8192),
    "limit_request_header_fields": (["--limit-request-header-fields", "20"], "20", 20),
    "h11_max_incomplete_event_size": (["--h11-max-incomplete-event-size", "4096"], "4096", 4096),
    "timeout_keep_alive": (["--timeout-keep-alive", "2.5"], "2.5", 2.5),
    "timeout_request_header": (["--timeout-request-header", "10"], "10", 10),
    "timeout_graceful_shutdown": (["--timeout-graceful-shutdown", "0"], "0", 0),
    "headers": (
        ["--header", "X-Frame-Options:DENY", "--header", "Link: <https://a.example/>; rel=x"],
        "X-Frame-Options:DENY\nLink: <https://a.example/>; rel=x\n",
        (("X-Frame-Options", "DENY"), ("Link", "<https://a.example/>; rel=x")),
    ),
    "server_header": (["--no-server-header"], "false", False),
    "date_header": (["--no-date-header"], "off", False),
    "log_level": (["--log-level", "trace"], "trace", "trace"),
    "access_log": (["--no-access-log"], "0", False),
    "use_colors": (["--use-colors"], "true", True),
    "uds": (["--uds", "/run/a.sock"], "/run/a.sock", "/run/a.sock"),
    "fd": (["--fd", "3"], "3", 3),
    "bind": (["--bind", "[::1]:80", "--bind", "unix:/run/a"], "[::1]:80\nunix:/run/a", ("[::1]:80", "unix:/run/a")),
    "uds_permissions": (["--uds-permissions", "660"], "660", "660"),
    "workers": (["--workers", "3"], "3", 3),
    "timeout_worker_healthcheck": (["--timeout-worker-healthcheck", "9"], "9", 9),
    "reload": (["--reload"], "yes", True),
    "reload_dirs": (["--reload-dir", "a b", "--reload-dir", "c"], "a b\nc", ("a b", "c")),
    "reload_includes": (["--reload-include", "*.html"], "*.html", ("*.html",)),
    "reload_excludes": (["--reload-exclude", "test_*"], "test_*", ("test_*",)),
    "reload_delay": (["--reload-delay", "1.5"], "1.5", 1.5),
    "limit_max_memory": (["--limit-max-memory", "1000000"], "1000000", 1_000_000),
    "env_file": (["--env-file", ".env"], ".env", ".env"),
    "reset_contextvars": (["--reset-contextvars"], "true", True),
    "wsgi_threads": (["--wsgi-threads", "7"], "7", 7),
    "wsgi_queue": (["--wsgi-queue", "7"], "7", 7),
    "timeout_request": (["--timeout-request", "7"], "7", 7),
    "ws": (["--ws", "none"], "none", "none"),
    "ws_max_size": (["--ws-max-size", "7"], "7", 7),
    "ws_max_queue": (["--ws-max-queue", "7"], "7", 7),
    "ws_ping_interval": (["--ws-ping-interval", "0.5"], "0.5", 0.5),
    "ws_ping_timeout": (["--ws-ping-timeout", "0.5"], "0.5", 0.5),
    "ws_per_message_deflate": (["--ws-per-message-deflate", "false"], "false", False),
    "ssl_certfile": (["--ssl-certfile", "a.pem"], "a.pem", "a.pem"),
    "ssl_keyfile": (["--ssl-keyfile", "a.pem"], "a.pem", "a.pem"),
    "ssl_keyfile_password": (["--ssl-keyfile-password", "a b"], "a b", "a b"),
    "ssl_version": (["--ssl-version", "2"], "2", 2),
    "ssl_cert_reqs": (["--ssl-cert-reqs", "2"], "2", 2),
    "ssl_ca_certs": (["--ssl-ca-certs", "a.pem"], "a.pem", "a.pem"),
    "ssl_ciphers": (["--ssl-ciphers", "HIGH"], "HIGH", "HIGH"),
    "timeout_ssl_handshake": (["--timeout-ssl-handshake", "3"], "3", 3),
    "proxy_headers": (["--no-proxy-headers"], "off", False),
    "forwarded_allow_ips": (["--forwarded-allow-ips", "*"], "*", "*"),
    "proxy_protocol": (["--proxy-protocol"], "on", True),
    "log_config": (["--log-config", "log.json"], "log.json", "log.json"),
    "access_log_format": (["--access-log-format", "json"], "json", "json"),
}

BAD_VALUES = [
    ("--port", "abc", "'abc' is not a whole number"),
    ("--port", "65536", "65536 is not from 0 to 65535"),
    ("--port", "", "'' is not a whole number"),
    ("--threads", "1.5", "'1.5' is not a whole number"),
    ("--threads", "0", "0 is not from 1 to 1024"),
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


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("THREADSERVE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What `run` was called with, each time."""
    calls: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(cli, "run", lambda app, **given: calls.append((app, given)))
    return calls


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], Result]:
    """Invokes the command with a server that raises an error."""

    def invoke_with(error: BaseException) -> Result:
        def run(app: str, **given: Any) -> None:
            raise error

        monkeypatch.setattr(cli, "run", run)
        return invoke(APP)

    return invoke_with


def invoke(*arguments: str, **variables: str) -> Result:
    environment = {f"THREADSERVE_{name}": value for name, value in variables.items()}
    return CliRunner().invoke(cli.main, arguments, env=environment)


def resulting(given: dict[str, Any]) -> dict[str, object]:
    """All settings of a configuration for which these are given."""
    return vars(Config(APP, **given))


def run_module(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "threadserve", *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def assert_one_line(result: Result, line: str, exit_code: int = 2) -> None:
    assert (result.exit_code, result.stderr, result.stdout) == (exit_code, f"Error: {line}\n", "")


def sections(text: str) -> dict[str, str]:
    """The parts of a help text by their headings."""
    _, *parts = re.split(r"^(\S.*):\n", text.partition("\n")[2], flags=re.MULTILINE)
    assert len(set(parts[::2])) == len(parts[::2])
    return dict(zip(parts[::2], parts[1::2], strict=True))


def flags(text: str) -> list[str]:
    """The options that a section of the help explains, in their order."""
    return [flag for line in re.findall(r"^  (--.*)", text, re.MULTILINE) for flag in re.findall(r"--[a-z0-9-]+", line)]


def option_of(name: str) -> click.Option:
    [option] = [option for option in cli.main.params if option.name == name]
    assert isinstance(option, click.Option)
    return option


def test_without_options_the_server_gets_the_defaults(served: list[tuple[str, dict[str, Any]]]) -> None:
    result = invoke(APP)
    assert (result.exit_code, result.output) == (0, "")
    [(app, given)] = served
    assert app == APP
    assert resulting(given) == resulting({})


def test_every_setting_is_on_the_command_line_once() -> None:
    on_the_command_line = [parameter.name for parameter in cli.main.params]
    assert sorted(filter(None, on_the_command_line)) == sorted(
        [*resulting({}).keys() - {"ssl_context_factory"}, "version"]
    )
    spelled = [flag for parameter in cli.main.params for flag in [*parameter.opts, *parameter.secondary_opts]]
    assert len(spelled) == len(set(spelled))


def test_every_setting_is_given_in_these_tests() -> None:
    assert GIVEN.keys() == {declared.name for declared in settings()}
    defaults = resulting({})
    assert [name for name, (_, _, value) in GIVEN.items() if value == defaults[name]] == []


@pytest.mark.parametrize("name", GIVEN)
def test_an_option_reaches_the_server(served: list[tuple[str, dict[str, Any]]], name: str) -> None:
    arguments, _, value = GIVEN[name]
    result = invoke(APP, *arguments)
    assert (result.exit_code, result.output) == (0, "")
    assert resulting(served[0][1]) == resulting({name: value})


@pytest.mark.parametrize("name", GIVEN)
def test_a_variable_reaches_the_server(served: list[tuple[str, dict[str, Any]]], name: str) -> None:
    _, text, value = GIVEN[name]
    result = invoke(APP, **{name.upper(): text})
    assert (result.exit_code, result.output) == (0, "")
    assert resulting(served[0][1]) == resulting({name: value})


def test_a_flag_is_off_where_its_variable_says_so(served: list[tuple[str, dict[str, Any]]]) -> None:
    invoke(APP, FACTORY="false")
    assert served[0][1]["factory"] is False


@pytest.mark.parametrize(("flag", "value"), [("--use-colors", True), ("--no-use-colors", False)])
def test_a_flag_beats_its_variable(served: list[tuple[str, dict[str, Any]]], flag: str, value: bool) -> None:
    invoke(APP, flag, USE_COLORS=str(not value))
    assert served[0][1]["use_colors"] is value


def test_an_option_beats_its_variable(served: list[tuple[str, dict[str, Any]]]) -> None:
    invoke(APP, "--port", "1", "--header", "A:b", PORT="bad", HEADERS="C:d\nE:f")
    assert served[0][1]["port"] == 1
    assert served[0][1]["headers"] == (("A", "b"),)


def test_the_application_may_be_in_a_variable(served: list[tuple[str, dict[str, Any]]]) -> None:
    invoke(APP="site:app")
    invoke("main:app", APP="site:app")
    assert [app for app, _ in served] == ["site:app", "main:app"]


def test_an_empty_variable_sets_nothing(served: list[tuple[str, dict[str, Any]]]) -> None:
    invoke(APP, PORT="", HEADERS="", FACTORY="")
    assert resulting(served[0][1]) == resulting({})


def test_variables_that_set_nothing_are_left_alone(served: list[tuple[str, dict[str, Any]]]) -> None:
    assert invoke(APP, VERSION="0.1.0", HELP="me", SERVICE_HOST="10.0.0.1").exit_code == 0
    assert len(served) == 1


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("X-A:b", ("X-A", "b")),
        ("X-A: b ", ("X-A", "b")),
        ("X-A:\tb c\td", ("X-A", "b c\td")),
        ("X-A: http://b:80/", ("X-A", "http://b:80/")),
        ("X-A:", ("X-A", "")),
        ("X-A: caf\xe9", ("X-A", "caf\xe9")),
    ],
)
def test_a_header_is_a_name_and_a_value(
    served: list[tuple[str, dict[str, Any]]], text: str, pair: tuple[str, str]
) -> None:
    assert invoke(APP, "--header", text).exit_code == 0
    assert served[0][1]["headers"] == (pair,)


@pytest.mark.parametrize(("flag", "text", "problem"), BAD_VALUES)
def test_a_bad_value_is_one_line(served: list[tuple[str, dict[str, Any]]], flag: str, text: str, problem: str) -> None:
    assert_one_line(invoke(APP, flag, text), f"Invalid value for '{flag}': {problem}")
    assert served == []


@pytest.mark.parametrize(("name", "flag", "text", "problem"), BAD_VARIABLES)
def test_a_bad_value_in_a_variable_names_the_variable(
    served: list[tuple[str, dict[str, Any]]], name: str, flag: str, text: str, problem: str
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


@pytest.mark.parametrize("mistake", ["--statsd", "--pid", "-x"])
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

    monkeypatch.setattr(cli, "run", run)
    line = "Invalid value for '--http' (environment variable THREADSERVE_HTTP): no parser"
    assert_one_line(invoke(APP, HTTP="h11"), line)


@pytest.mark.parametrize(
    ("kind", "exit_code"), [(AppLoadError, 1), (BindError, 1), (StartupFailed, 3), (TooManyDeaths, 4)]
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
    loader = str(Path(threadserve.__file__).parent / "interfaces" / "loading.py")
    code = compile("import importlib\nimportlib.import_module('failing_app')", loader, "exec")

    def run(app: str, **given: Any) -> None:
        try:
            exec(code)
        except Exception as error:
            # The frame of this function stands for none of the server's.
            error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
            raise AppImportFailed("main:app cannot be imported") from error

    monkeypatch.setattr(cli, "run", run)


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


def test_the_version_says_what_runs() -> None:
    result = invoke("--version")
    build = "free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else "with the GIL"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    expected = f"threadserve {threadserve.__version__}, {python} ({build}), {platform.system()}\n"
    assert (result.exit_code, result.stdout, result.stderr) == (0, expected, "")


def test_the_help_has_every_option_once_under_its_group() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    expected: dict[str, list[str]] = {}
    for heading, members in groups():
        options = [option_of(declared.name) for declared in members]
        expected[heading] = [flag for option in options for flag in [*option.opts, *option.secondary_opts]]
    expected["Other"] = ["--version", "--help"]
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
        *("uds", "fd", "env_file", "access_log_format"),
        *("ssl_certfile", "ssl_keyfile_password", "ssl_ca_certs"),
    }


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_the_help_fits_the_terminal(columns: int) -> None:
    lines = CliRunner().invoke(cli.main, "--help", terminal_width=columns).stdout.splitlines()
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


def test_the_process_ends_with_the_line_and_the_exit_code() -> None:
    option = run_module("main:app", "--port", "x")
    assert (option.returncode, option.stdout) == (2, "")
    assert option.stderr == "Error: Invalid value for '--port': 'x' is not a whole number\n"
    variable = run_module("main:app", THREADSERVE_LOOP="uvlop")
    assert (variable.returncode, variable.stdout) == (2, "")
    assert re.fullmatch(r"Error: .*THREADSERVE_LOOP.*'uvlop'.*\n", variable.stderr)
