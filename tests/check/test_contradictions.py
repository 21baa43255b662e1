"""Every rule of the table, by settings that it holds for, and settings of which none is against another."""

from typing import Any

import pytest

from threadserve.check.contradictions import RULES, Facts, find_contradictions
from threadserve.check.findings import Level
from threadserve.config import Config

Given = dict[str, Any]

# By the rule's code: settings, with what is not theirs but the machine's and the application's; and the options named.
HELD: list[tuple[str, Given, Given, str]] = [
    ("reload-with-workers", {"reload": True, "workers": 2}, {}, "--reload"),
    ("threads-with-gil", {"threads": 2}, {"has_gil": True}, "--threads"),
    ("workers-beyond-cpus", {"threads": 2, "workers": 5}, {"cpus": 4}, "--workers"),
    ("app-shared-unused", {"app_shared": ["models"], "app_instance": "shared"}, {}, "--app-shared"),
    ("app-shared-unused", {"app_shared": ["models"]}, {"interface": "wsgi"}, "--app-shared"),
    ("one-thread", {"threads": 1, "app_shared": ["models"]}, {}, "--app-shared"),
    ("one-thread", {"threads": 1, "distribute": "kernel"}, {}, "--distribute"),
    ("not-wsgi", {"wsgi_threads": 2, "wsgi_queue": 3}, {}, "--wsgi-threads, --wsgi-queue"),
    (
        "not-asgi",
        {"cancel_on_disconnect": True, "app_threads": 3},
        {"interface": "wsgi"},
        "--cancel-on-disconnect, --app-threads",
    ),
    ("delay-unseen", {"shutdown_delay": 3}, {}, "--shutdown-delay"),
    ("lifespan-of-wsgi", {"lifespan": "on"}, {"interface": "wsgi"}, "--lifespan"),
    ("reload-unused", {"reload_dirs": ["."], "reload_delay": 1}, {}, "--reload-dir, --reload-delay"),
    ("uds-permissions-unused", {"uds_permissions": "600"}, {}, "--uds-permissions"),
    ("uds-permissions-unused", {"uds_permissions": "600", "bind": ["127.0.0.1:0"]}, {}, "--uds-permissions"),
    ("address-unused", {"host": "::", "port": 1, "uds": "a"}, {}, "--host, --port"),
    ("tls-without-certificate", {"ssl_ciphers": "HIGH", "ssl_cert_reqs": 2}, {}, "--ssl-cert-reqs, --ssl-ciphers"),
    ("proxies-unused", {"proxy_headers": False, "forwarded_allow_ips": "*"}, {}, "--forwarded-allow-ips"),
    ("proxies-unused", {"proxy_headers": False, "forwarded_headers": "Forwarded"}, {}, "--forwarded-headers"),
    ("access-log-off", {"access_log": False, "access_log_format": "json"}, {}, "--access-log-format"),
    ("jitter-of-nothing", {"limit_max_requests_jitter": 3}, {}, "--limit-max-requests-jitter"),
    ("h11-unused", {"h11_max_incomplete_event_size": 4096}, {}, "--h11-max-incomplete-event-size"),
]

AT_PEACE: list[tuple[Given, Given]] = [
    ({}, {}),
    ({"reload": True, "reload_dirs": ["."], "workers": 1}, {}),
    ({"threads": 2}, {}),
    ({"threads": 1}, {"has_gil": True}),
    ({"threads": 2, "workers": 4}, {"cpus": 4}),
    ({"threads": 1, "workers": 9}, {"cpus": 4}),
    ({"app_shared": ["models"], "threads": 2}, {}),
    ({"wsgi_threads": 2, "timeout_request": 3, "lifespan": "off"}, {"interface": "wsgi"}),
    ({"wsgi_threads": 2, "lifespan": "on"}, {"interface": "auto"}),
    ({"uds_permissions": "600", "uds": "a"}, {}),
    ({"uds_permissions": "600", "bind": ["[::1]:0", "unix:a"]}, {}),
    ({"host": "::", "port": 1}, {}),
    ({"ssl_ciphers": "HIGH", "ssl_certfile": "a.pem"}, {}),
    ({"proxy_headers": False, "proxy_protocol": True, "forwarded_allow_ips": "*"}, {}),
    ({"forwarded_allow_ips": "*", "forwarded_headers": "Forwarded"}, {}),
    ({"access_log_format": "json"}, {}),
    ({"limit_max_requests_jitter": 3, "limit_max_requests": 9}, {}),
    ({"h11_max_incomplete_event_size": 4096, "http": "h11"}, {}),
]


def facts(given: Given, beside: Given) -> Facts:
    known = {"interface": "asgi3", "has_gil": False, "cpus": 4, **beside}
    return Facts(Config("main:app", **given), frozenset(given), **known)


@pytest.mark.parametrize(("code", "given", "beside", "options"), HELD, ids=[f"{row[0]}-{row[3]}" for row in HELD])
def test_a_rule_that_holds(code: str, given: Given, beside: Given, options: str) -> None:
    [found] = find_contradictions(facts(given, beside))
    assert (found.code, found.message.partition(": ")[0]) == (code, options)
    assert found.remedy.endswith(".")
    assert found.level is (Level.BREAK if code == "reload-with-workers" else Level.WARN)


@pytest.mark.parametrize(("given", "beside"), AT_PEACE)
def test_settings_that_do_something(given: Given, beside: Given) -> None:
    assert find_contradictions(facts(given, beside)) == []


def test_every_rule_is_tried() -> None:
    assert {rule.code for rule in RULES} == {code for code, *_ in HELD}


def test_settings_that_are_not_given_are_not_named() -> None:
    """Such as the defaults of TLS, without a certificate."""
    known = Facts(Config("main:app", reload_delay=1), frozenset(), "asgi3", has_gil=False, cpus=4)
    assert find_contradictions(known) == []


def test_they_are_in_the_report(bare: Any) -> None:
    report = bare.check("main:app", "--reload", "--workers", "2", "--wsgi-threads", "3")
    levels = {each["code"]: each["level"] for each in report["findings"]}
    assert (levels["reload-with-workers"], levels["not-wsgi"], report["ok"]) == ("break", "warn", False)
