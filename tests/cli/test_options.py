"""How options, variables and defaults reach the server."""

import os

import pytest
from support.command_line import APP, Calls, invoke, resulting

from threadserve.cli import main
from threadserve.config import settings

GIVEN: dict[str, tuple[list[str], str, object]] = {
    "host": (["--host", "::1"], "::1", "::1"),
    "port": (["--port", "0"], "0", 0),
    "backlog": (["--backlog=9"], "9", 9),
    "threads": (["--threads", "4"], "4", 4),
    "distribute": (["--distribute", "kernel"], "kernel", "kernel"),
    "release_idle": (["--no-release-idle"], "0", False),
    "loop": (["--loop", "asyncio"], "asyncio", "asyncio"),
    "http": (["--http", "h11"], "h11", "h11"),
    "app_dir": (["--app-dir", ".."], "..", ".."),
    "factory": (["--factory"], "1", True),
    "app_instance": (["--app-instance", "shared"], "shared", "shared"),
    "app_shared": (["--app-shared", "models"], "models", ("models",)),
    "app_threads": (["--app-threads", "7"], "7", 7),
    "admin_bind": (["--admin-bind", "unix:admin.sock"], "unix:admin.sock", "unix:admin.sock"),
    "timeout_loop_stall": (["--timeout-loop-stall", "0"], "0", 0),
    "timeout_loop_exit": (["--timeout-loop-exit", "30"], "30", 30),
    "log_slow_requests": (["--log-slow-requests", "0.5"], "0.5", 0.5),
    "shutdown_delay": (["--shutdown-delay", "5"], "5", 5),
    "interface": (["--interface", "asgi2"], "asgi2", "asgi2"),
    "lifespan": (["--lifespan", "off"], "off", "off"),
    "root_path": (["--root-path", "/api"], "/api", "/api"),
    "limit_concurrency": (["--limit-concurrency", "7"], "7", 7),
    "limit_max_requests": (["--limit-max-requests", "8"], "8", 8),
    "limit_max_requests_jitter": (["--limit-max-requests-jitter", "2"], "2", 2),
    "limit_request_header_size": (["--limit-request-header-size", "8192"], "8192", 8192),
    "limit_request_header_fields": (["--limit-request-header-fields", "20"], "20", 20),
    "limit_request_body": (["--limit-request-body", "7"], "7", 7),
    "h11_max_incomplete_event_size": (["--h11-max-incomplete-event-size", "4096"], "4096", 4096),
    "timeout_keep_alive": (["--timeout-keep-alive", "2.5"], "2.5", 2.5),
    "timeout_request_header": (["--timeout-request-header", "10"], "10", 10),
    "timeout_request_body": (["--timeout-request-body", "7"], "7", 7),
    "timeout_graceful_shutdown": (["--timeout-graceful-shutdown", "0"], "0", 0),
    "headers": (
        ["--header", "X-Frame-Options:DENY", "--header", "Link: <https://a.example/>; rel=x"],
        "X-Frame-Options:DENY\nLink: <https://a.example/>; rel=x\n",
        (("X-Frame-Options", "DENY"), ("Link", "<https://a.example/>; rel=x")),
    ),
    "server_header": (["--no-server-header"], "false", False),
    "http2": (["--http2"], "true", True),
    "date_header": (["--no-date-header"], "off", False),
    "log_level": (["--log-level", "trace"], "trace", "trace"),
    "log_propagate": (["--log-propagate"], "1", True),
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
    "env_file": (["--env-file", os.devnull], os.devnull, os.devnull),
    "cancel_on_disconnect": (["--cancel-on-disconnect"], "true", True),
    "reset_contextvars": (["--reset-contextvars"], "true", True),
    "pathsend": (["--pathsend"], "true", True),
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
    "forwarded_headers": (["--forwarded-headers", "Forwarded"], "Forwarded", "Forwarded"),
    "proxy_protocol": (["--proxy-protocol"], "on", True),
    "log_config": (["--log-config", "log.json"], "log.json", "log.json"),
    "access_log_format": (["--access-log-format", "json"], "json", "json"),
}


def test_without_options_the_server_gets_the_defaults(served: Calls) -> None:
    result = invoke(APP)
    assert (result.exit_code, result.output) == (0, "")
    [(app, given)] = served
    assert app == APP
    assert resulting(given) == resulting({})


def test_every_setting_is_on_the_command_line_once() -> None:
    on_the_command_line = [parameter.name for parameter in main.params]
    assert sorted(filter(None, on_the_command_line)) == sorted(
        [
            *resulting({}).keys() - {"ssl_context_factory", "callback_notify", "timeout_notify"},
            "check",
            "config",
            "version",
        ]
    )
    spelled = [flag for parameter in main.params for flag in [*parameter.opts, *parameter.secondary_opts]]
    assert len(spelled) == len(set(spelled))


def test_every_setting_is_given_in_these_tests() -> None:
    assert GIVEN.keys() == {declared.name for declared in settings()}
    defaults = resulting({})
    assert [name for name, (_, _, value) in GIVEN.items() if value == defaults[name]] == []


@pytest.mark.parametrize("name", GIVEN)
def test_an_option_reaches_the_server(served: Calls, name: str) -> None:
    arguments, _, value = GIVEN[name]
    result = invoke(APP, *arguments)
    assert (result.exit_code, result.output) == (0, "")
    assert resulting(served[0][1]) == resulting({name: value})


@pytest.mark.parametrize("name", GIVEN)
def test_a_variable_reaches_the_server(served: Calls, name: str) -> None:
    _, text, value = GIVEN[name]
    result = invoke(APP, **{name.upper(): text})
    assert (result.exit_code, result.output) == (0, "")
    assert resulting(served[0][1]) == resulting({name: value})


def test_a_flag_is_off_where_its_variable_says_so(served: Calls) -> None:
    invoke(APP, FACTORY="false")
    assert served[0][1]["factory"] is False


@pytest.mark.parametrize(("flag", "value"), [("--use-colors", True), ("--no-use-colors", False)])
def test_a_flag_beats_its_variable(served: Calls, flag: str, value: bool) -> None:
    invoke(APP, flag, USE_COLORS=str(not value))
    assert served[0][1]["use_colors"] is value


def test_an_option_beats_its_variable(served: Calls) -> None:
    invoke(APP, "--port", "1", "--header", "A:b", PORT="bad", HEADERS="C:d\nE:f")
    assert served[0][1]["port"] == 1
    assert served[0][1]["headers"] == (("A", "b"),)


def test_the_application_may_be_in_a_variable(served: Calls) -> None:
    invoke(APP="site:app")
    invoke("main:app", APP="site:app")
    assert [app for app, _ in served] == ["site:app", "main:app"]


def test_an_empty_variable_sets_nothing(served: Calls) -> None:
    invoke(APP, PORT="", HEADERS="", FACTORY="")
    assert resulting(served[0][1]) == resulting({})


def test_variables_that_set_nothing_are_left_alone(served: Calls) -> None:
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
def test_a_header_is_a_name_and_a_value(served: Calls, text: str, pair: tuple[str, str]) -> None:
    assert invoke(APP, "--header", text).exit_code == 0
    assert served[0][1]["headers"] == (pair,)


def test_the_number_of_threads_may_be_left_to_the_cpus(served: Calls) -> None:
    assert invoke(APP, "--threads", "auto").exit_code == invoke(APP, THREADS="auto").exit_code == 0
    assert [given["threads"] for _, given in served] == ["auto", "auto"]
