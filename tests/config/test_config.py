"""The configuration: defaults, types, checks and the one line that names what is wrong."""

import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies

from threadserve import config
from threadserve.config import LOG_LEVELS, LOGGING_CONFIG, Config, defaults
from threadserve.config.checks import Check, at_least, between
from threadserve.config.environment import load_environment
from threadserve.errors import ConfigError

APP = "main:app"

UVICORN_DEFAULTS = {
    "host": "127.0.0.1",
    "port": 8000,
    "backlog": 2048,
    "loop": "auto",
    "http": "auto",
    "app_dir": "",
    "factory": False,
    "interface": "auto",
    "lifespan": "auto",
    "root_path": "",
    "limit_concurrency": None,
    "limit_max_requests": None,
    "limit_max_requests_jitter": 0,
    "h11_max_incomplete_event_size": None,
    "timeout_keep_alive": 5,
    "server_header": True,
    "date_header": True,
    "log_level": None,
    "access_log": True,
    "use_colors": None,
    "uds": None,
    "fd": None,
    "workers": None,
    "reload": False,
    "reload_delay": 0.25,
    "timeout_worker_healthcheck": 5,
    "env_file": None,
    "reset_contextvars": False,
    "pathsend": False,
    "ws": "auto",
    "ws_max_size": 16777216,
    "ws_max_queue": 32,
    "ws_ping_interval": 20,
    "ws_ping_timeout": 20,
    "ws_per_message_deflate": True,
    "ssl_certfile": None,
    "ssl_keyfile": None,
    "ssl_keyfile_password": None,
    "ssl_version": ssl.PROTOCOL_TLS_SERVER,
    "ssl_cert_reqs": ssl.CERT_NONE,
    "ssl_ca_certs": None,
    "ssl_ciphers": None,
    "proxy_headers": True,
    "forwarded_allow_ips": None,
}

GOOD = [
    ("host", "::"),
    ("host", ["127.0.0.1", "::1"]),
    ("port", 0),
    ("port", 65535),
    ("threads", None),
    ("threads", 1024),
    ("threads", "auto"),
    ("workers", None),
    ("workers", "auto"),
    ("distribute", "kernel"),
    ("limit_concurrency", 1),
    ("timeout_keep_alive", 0),
    ("timeout_keep_alive", 2.5),
    ("timeout_graceful_shutdown", 10**9),
    ("forwarded_allow_ips", ""),
    ("forwarded_allow_ips", "10.0.0.1, ::1, fe80::1%eth0, 10.0.0.0/8, unix:, unix:app.sock, /run/app, app.sock, @app"),
    ("forwarded_allow_ips", ["*", "_proxy", "./app", "\0app"]),
    ("headers", [("X-Frame-Options", "DENY")]),
    ("headers", [["x", ""], ["x", "caf\xe9\tcr\xe8me"]]),
    ("log_level", 15),
    ("log_level", "trace"),
    ("use_colors", False),
    ("log_config", None),
]

BAD = [
    ("app", None, "a value is needed"),
    ("host", None, "a value is needed"),
    ("host", 3, "3 is not text"),
    ("host", ["127.0.0.1", 3], "3 is not text"),
    ("host", [], "a host is needed"),
    ("port", -1, "-1 is not from 0 to 65535"),
    ("port", 65536, "65536 is not from 0 to 65535"),
    ("port", "8000", "'8000' is not a whole number"),
    ("port", 80.0, "80.0 is not a whole number"),
    ("port", True, "True is not a whole number"),
    ("backlog", 0, "0 is not from 1 to 2147483647"),
    ("backlog", 2**31, "2147483648 is not from 1 to 2147483647"),
    ("threads", 0, "0 is not from 1 to 1024"),
    ("threads", 1025, "1025 is not from 1 to 1024"),
    ("threads", "all", "'all' is not a whole number or auto"),
    ("threads", 1.5, "1.5 is not a whole number or auto"),
    ("threads", True, "True is not a whole number or auto"),
    ("distribute", 3, "3 is not one of least-busy, round-robin, kernel"),
    ("distribute", "fair", "'fair' is not one of least-busy, round-robin, kernel"),
    ("loop", "uvlop", "'uvlop' is not one of auto, asyncio, uvloop, none, or module:attribute"),
    ("loop", 3, "3 is not text"),
    ("http", "HTTPTOOLS", "'HTTPTOOLS' is not one of auto, h11, httptools"),
    ("app_dir", "no/such/folder", "there is no folder 'no/such/folder'"),
    ("factory", 1, "1 is not true or false"),
    ("app_instance", "process", "'process' is not one of thread, shared"),
    ("app_shared", [None], "None is not text"),
    ("app_threads", 0, "0 is not from 1 to 1024"),
    ("app_threads", "auto", "'auto' is not a whole number"),
    ("interface", "wsgi2", "'wsgi2' is not one of "),
    ("lifespan", "yes", "'yes' is not one of auto, on, off"),
    ("limit_concurrency", 0, "0 is less than 1"),
    ("limit_max_requests", 0, "0 is less than 1"),
    ("limit_max_requests_jitter", -1, "-1 is less than 0"),
    ("limit_request_header_size", 63, "63 is less than 64"),
    ("limit_request_header_fields", 0, "0 is less than 1"),
    ("limit_request_body", 0, "0 is less than 1"),
    ("h11_max_incomplete_event_size", 63, "63 is less than 64"),
    ("timeout_keep_alive", -0.5, "-0.5 is not from 0 to 1000000000"),
    ("timeout_keep_alive", "5", "'5' is not a number"),
    ("timeout_keep_alive", True, "True is not a number"),
    ("timeout_request_header", 0, "0 is not from 0.1 to 1000000000"),
    ("timeout_request_body", 0, "0 is not from 0.1 to 1000000000"),
    ("admin_bind", "9000", "'9000' is not HOST:PORT, [IPv6]:PORT or unix:PATH"),
    ("admin_bind", "fd://3", "'fd://3' is not HOST:PORT, [IPv6]:PORT or unix:PATH"),
    ("admin_bind", "::1:9000", "'::1:9000' is not HOST:PORT, [IPv6]:PORT or unix:PATH"),
    ("timeout_loop_stall", -1, "-1 is not from 0 to 1000000000"),
    ("timeout_loop_exit", 0, "0 is not from 0.1 to 1000000000"),
    ("log_slow_requests", -1, "-1 is not from 0 to 1000000000"),
    ("shutdown_delay", -1, "-1 is not from 0 to 1000000000"),
    ("timeout_graceful_shutdown", float("nan"), "nan is not a finite number"),
    ("timeout_graceful_shutdown", float("inf"), "inf is not a finite number"),
    ("timeout_graceful_shutdown", 1e300, "1e+300 is not from 0 to 1000000000"),
    ("headers", "x:y", "'x:y' is not a list"),
    ("headers", ["x:y"], "'x:y' is not a pair of a name and a value"),
    ("headers", [("x", "y", "z")], "('x', 'y', 'z') is not a pair of a name and a value"),
    ("headers", [(b"x", b"y")], "(b'x', b'y') is not a pair of a name and a value"),
    ("headers", [("a", "1"), ("x y", "z")], "'x y' is not a header's name"),
    ("headers", [("", "z")], "'' is not a header's name"),
    ("headers", [("x", "a\r\nb: c")], "has '\\r'"),
    ("headers", [("x", "a\nb")], "has '\\n'"),
    ("headers", [("x", "a\x00b")], "has '\\x00'"),
    ("headers", [("x", "\N{SNOWMAN}")], "has '\N{SNOWMAN}'"),
    ("headers", [("Content-Length", "3")], "Content-Length cannot be the same for every response"),
    ("headers", [("transfer-encoding", "chunked")], "transfer-encoding cannot be the same for every response"),
    ("server_header", None, "a value is needed"),
    ("http2", "yes", "'yes' is not true or false"),
    ("log_level", "verbose", "'verbose' is not one of critical, error, warning, info, debug, trace"),
    ("log_level", 1.5, "1.5 is not text or a whole number"),
    ("uds", 3, "3 is not text"),
    ("fd", -1, "-1 is less than 0"),
    ("bind", "a:80", "'a:80' is not a list"),
    ("bind", [80], "80 is not text"),
    ("uds_permissions", "rw", "'rw' is not three or four octal digits"),
    ("uds_permissions", -1, "-0o1 is not from 0 to 0o7777"),
    ("workers", 0, "0 is not from 1 to 1024"),
    ("workers", "all", "'all' is not a whole number or auto"),
    ("workers", 1.5, "1.5 is not a whole number or auto"),
    ("timeout_worker_healthcheck", 0, "0 is not from 0.1 to 1000000000"),
    ("reload", 1, "1 is not true or false"),
    ("reload_dirs", 1, "1 is not a list or text"),
    ("reload_includes", [1], "1 is not text"),
    ("reload_excludes", [None], "None is not text"),
    ("reload_delay", 0, "0 is not from 0.01 to 1000000000"),
    ("limit_max_memory", 0, "0 is less than 1"),
    ("env_file", 1, "1 is not text or a path"),
    ("cancel_on_disconnect", 1, "1 is not true or false"),
    ("reset_contextvars", 1, "1 is not true or false"),
    ("pathsend", 1, "1 is not true or false"),
    ("wsgi_threads", 0, "0 is not from 1 to 1024"),
    ("wsgi_threads", "auto", "'auto' is not a whole number"),
    ("wsgi_queue", 0, "0 is less than 1"),
    ("timeout_request", 0, "0 is not from 0.001 to 1000000000"),
    ("ws", "fast", "'fast' is not one of auto, wsproto, websockets, websockets-sansio, none"),
    ("ws_max_size", 0, "0 is less than 1"),
    ("ws_max_queue", 0, "0 is less than 1"),
    ("ws_ping_interval", -1, "-1 is not from 0 to 1000000000"),
    ("ws_ping_timeout", -1, "-1 is not from 0 to 1000000000"),
    ("ws_per_message_deflate", 1, "1 is not true or false"),
    ("ssl_certfile", 1, "1 is not text or a path"),
    ("ssl_keyfile", 1, "1 is not text or a path"),
    ("ssl_keyfile_password", 1, "1 is not text"),
    ("ssl_version", "TLS", "'TLS' is not a whole number"),
    ("ssl_cert_reqs", 3, "3 is not from 0 to 2"),
    ("ssl_ca_certs", 1, "1 is not text or a path"),
    ("ssl_ciphers", 1, "1 is not text"),
    ("timeout_ssl_handshake", 0, "0 is not from 0.1 to 1000000000"),
    ("proxy_headers", 1, "1 is not true or false"),
    ("forwarded_allow_ips", 1, "1 is not text or a list"),
    ("forwarded_allow_ips", [1], "1 is not text"),
    ("forwarded_allow_ips", "10.0.0.1/8", "'10.0.0.1/8' is no network"),
    ("forwarded_allow_ips", "127.0.0.1,nginx", "'nginx' is not an address, a network, a Unix socket (unix:PATH) or *"),
    ("forwarded_allow_ips", ["10.0.0.1:80"], "'10.0.0.1:80' is not an address, a network"),
    ("forwarded_allow_ips", "10.0.0/8", "'10.0.0/8' is not an address, a network"),
    ("forwarded_headers", "X-Real-IP", "'X-Real-IP' is not one of forwarded, x-forwarded-for"),
    ("proxy_protocol", 1, "1 is not true or false"),
    ("access_log_format", 1, "1 is not text"),
]


@pytest.mark.parametrize(("name", "default"), UVICORN_DEFAULTS.items())
def test_a_default_is_uvicorns(name: str, default: object) -> None:
    assert getattr(Config(APP), name) == default


@pytest.mark.parametrize(
    ("name", "value", "library"),
    [
        ("http", "httptools", "httptools"),
        ("ws", "websockets", "websockets"),
        ("ws", "websockets-sansio", "websockets"),
        ("http2", True, "h2"),
    ],
)
def test_what_a_value_needs_must_be_installed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: Any, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigError) as refused:
        Config(APP, **{name: value})
    needing = "it" if value is True else value
    assert str(refused.value) == f"{name}: {needing} needs the library {library}, which is not installed"
    assert getattr(Config(APP), name) in ("auto", False)


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_a_value_is_kept_as_it_is(name: str, value: Any) -> None:
    assert getattr(Config(APP, **{name: value}), name) == value


@pytest.mark.parametrize(("name", "value", "problem"), BAD)
def test_a_bad_value_is_refused_with_the_settings_name(name: str, value: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Config(**{"app": APP, name: value})
    assert refused.value.option == name
    assert problem in refused.value.problem
    assert str(refused.value) == f"{name}: {refused.value.problem}"
    assert refused.value.exit_code == 2


def test_every_setting_has_a_bad_value() -> None:
    without = {"root_path", "date_header", "access_log", "log_propagate", "use_colors", "log_config", "release_idle"}
    assert {declared.name for declared in config.settings()} - {name for name, _, _ in BAD} == without


@pytest.mark.parametrize("name", ["root_path", "date_header", "access_log", "use_colors", "release_idle"])
def test_a_value_of_another_type_is_refused(name: str) -> None:
    value: Any = 1
    with pytest.raises(ConfigError, match=rf"^{name}: 1 is not (text|true or false)$"):
        Config(APP, **{name: value})


@pytest.mark.parametrize("bad", ["nginx", "10.0.0.1/8"])
def test_proxies_named_in_the_environment_are_checked_too(monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", f"127.0.0.1,{bad}")
    with pytest.raises(ConfigError, match=rf"^forwarded_allow_ips: \$FORWARDED_ALLOW_IPS: '{bad}' is "):
        load_environment(Config(APP))
    load_environment(Config(APP, forwarded_allow_ips="10.0.0.1"))


@pytest.mark.parametrize("app", [print, lambda scope: None, object()])
def test_an_application_may_be_an_object(app: Any) -> None:
    assert Config(app).app is app


@pytest.mark.parametrize("level", LOG_LEVELS)
def test_the_case_of_a_log_level_does_not_matter(level: str) -> None:
    assert Config(APP, log_level=level.upper()).log_level == level


def test_an_app_dir_is_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path)
    assert Config(APP, app_dir="src").app_dir == "src"
    assert Config(APP, app_dir=str(tmp_path)).app_dir == str(tmp_path)


def test_the_logging_config_is_a_copy_of_what_the_program_made_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOGGING_CONFIG["formatters"]["access"], "fmt", "%(message)s")
    ours, theirs = Config(APP), Config(APP)
    assert ours.log_config == theirs.log_config == LOGGING_CONFIG
    assert isinstance(ours.log_config, dict)
    ours.log_config["formatters"]["access"]["fmt"] = "changed"
    assert theirs.log_config == LOGGING_CONFIG
    assert LOGGING_CONFIG["formatters"]["access"]["fmt"] == "%(message)s"


@given(strategies.text(max_size=8), strategies.text(max_size=8))
def test_a_header_that_is_taken_is_one_line_on_the_wire(name: str, value: str) -> None:
    try:
        Config(APP, headers=[(name, value)])
    except ConfigError:
        return
    line = f"{name}: {value}".encode("latin-1")
    assert line.partition(b":")[0].isascii()
    assert not set(line) & {*range(9), *range(10, 32), 127}


def on_a_build(
    monkeypatch: pytest.MonkeyPatch, *, free_threaded: bool, web_concurrency: str = "", cpus: int = 6
) -> None:
    monkeypatch.setattr(defaults, "is_free_threaded_build", lambda: free_threaded)
    monkeypatch.setattr(defaults, "count_usable_cpus", lambda: cpus)
    monkeypatch.setenv("WEB_CONCURRENCY", web_concurrency)


@pytest.mark.parametrize(
    ("free_threaded", "web_concurrency", "settings", "processes", "threads"),
    [
        (True, "", {}, 1, 1),
        (False, "", {}, 1, 1),
        (True, "3", {}, 1, 3),
        (False, "3", {}, 3, 1),
        (True, "1024", {}, 1, 1024),
        # Who says how many processes there are does not mean threads by the variable, and the other way round.
        (True, "3", {"workers": 4}, 4, 1),
        (False, "3", {"workers": 4}, 4, 1),
        (True, "3", {"threads": 2}, 1, 2),
        (False, "3", {"threads": 2}, 3, 2),
        (True, "many", {"threads": 2}, 1, 2),
        (False, "many", {"workers": 2}, 2, 1),
        (True, "", {"threads": "auto"}, 1, 6),
        (False, "", {"threads": "auto"}, 1, 6),
        (True, "3", {"threads": "auto"}, 1, 6),
        (False, "3", {"threads": "auto"}, 3, 2),
        (True, "", {"threads": "auto", "workers": 4}, 4, 1),
        (True, "", {"threads": "auto", "workers": 2}, 2, 3),
        (True, "", {"threads": "auto", "workers": 7}, 7, 1),
        (True, "", {"workers": "auto"}, 6, 1),
        (False, "", {"workers": "auto"}, 6, 1),
        (False, "3", {"workers": "auto"}, 6, 1),
        (True, "3", {"workers": "auto"}, 6, 1),
        (True, "", {"workers": "auto", "threads": 2}, 6, 2),
        (True, "", {"workers": "auto", "threads": "auto"}, 6, 1),
    ],
)
def test_how_many_processes_and_threads_serve(
    monkeypatch: pytest.MonkeyPatch,
    free_threaded: bool,
    web_concurrency: str,
    settings: dict[str, Any],
    processes: int,
    threads: int,
) -> None:
    on_a_build(monkeypatch, free_threaded=free_threaded, web_concurrency=web_concurrency)
    made = Config(APP, **settings)
    assert (made.worker_count, made.thread_count) == (processes, threads)


@pytest.mark.parametrize(
    ("free_threaded", "web_concurrency", "settings", "cpus", "threads"),
    [
        (True, "", {}, 2, 1),
        (True, "", {}, 8, 1),
        (True, "", {}, 32, 4),
        (True, "1", {}, 32, 1),
        (True, "", {"threads": 2}, 32, 2),
        (True, "", {"workers": 2}, 32, 1),
        (True, "", {"workers": "auto"}, 32, 1),
        (True, "", {"interface": "auto"}, 32, 1),
        (False, "", {}, 32, 1),
    ],
)
def test_how_many_loops_serve_a_wsgi_application(
    monkeypatch: pytest.MonkeyPatch,
    free_threaded: bool,
    web_concurrency: str,
    settings: dict[str, Any],
    cpus: int,
    threads: int,
) -> None:
    on_a_build(monkeypatch, free_threaded=free_threaded, web_concurrency=web_concurrency, cpus=cpus)
    assert Config(APP, **{"interface": "wsgi", **settings}).thread_count == threads


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5", "1025", "99999999999", " 2", "\N{SUPERSCRIPT TWO}"])
@pytest.mark.parametrize(("free_threaded", "option"), [(True, "threads"), (False, "workers")])
def test_a_bad_web_concurrency_is_named(
    monkeypatch: pytest.MonkeyPatch, free_threaded: bool, option: str, text: str
) -> None:
    on_a_build(monkeypatch, free_threaded=free_threaded, web_concurrency=text)
    made = Config(APP)
    with pytest.raises(ConfigError) as refused:
        print(made.worker_count, made.thread_count)
    assert refused.value.option == option
    assert refused.value.problem == f"$WEB_CONCURRENCY is {text!r}, not a number of {option}"


@pytest.mark.parametrize(
    ("http", "h11_size", "limit"),
    [("auto", None, 1000), ("h11", None, 1000), ("h11", 200, 200), ("h11", 2000, 1000), ("httptools", 200, 1000)],
)
def test_the_limit_of_a_head_is_the_smaller_one_with_h11(http: Any, h11_size: int | None, limit: int) -> None:
    made = Config(APP, http=http, h11_max_incomplete_event_size=h11_size, limit_request_header_size=1000)
    assert made.head_limit == limit


@pytest.mark.parametrize("check", [at_least(3), between(3, 5)])
def test_a_check_takes_its_limits(check: Check) -> None:
    assert check(3) is None
    assert check(5) is None
    assert check(2) is not None
