"""What an access-log format makes of the facts of a request, and which formats are refused."""

import base64
import json
import os
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threadserve.config import Config
from threadserve.errors import ConfigError
from threadserve.logging.access_format import AccessFacts, check_format, make_access_format

GUNICORN_DEFAULT = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
KEYS = [
    "time",
    "client",
    "user",
    "method",
    "scheme",
    "host",
    "path",
    "query",
    "protocol",
    "status",
    "bytes",
    "duration",
    "first_byte",
    "queued",
    "referer",
    "user_agent",
    "pid",
    "thread",
]

FACTS = AccessFacts(
    label="127.0.0.1:54321",
    host="127.0.0.1",
    method="GET",
    path=b"/a%20b",
    query=b"q=%s&x=1",
    version="1.1",
    scheme="http",
    status=200,
    sent=1234,
    seconds=1.2345678,
    ended=1_600_000_000.5,
    request_fields=(),
    response_fields=(),
    first_byte=0.5,
    queued=0.25,
    thread=3,
)


def line(
    text: str,
    request: dict[str, bytes] | None = None,
    response: dict[str, bytes] | None = None,
    **changes: Any,
) -> str:
    """The line of a format, for FACTS with these header fields and changes."""
    format = make_access_format(text)
    assert format is not None
    assert check_format(text) is None
    given = [
        tuple((headers or {}).get(name.decode()) for name in names)
        for names, headers in ((format.request_names, request), (format.response_names, response))
    ]
    return format.format_line(FACTS._replace(request_fields=given[0], response_fields=given[1], **changes))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%(h)s", "127.0.0.1"),
        ("%(l)s", "-"),
        ("%(r)s", "GET /a%20b?q=%s&x=1 HTTP/1.1"),
        ("%(m)s", "GET"),
        ("%(U)s", "/a%20b"),
        ("%(q)s", "q=%s&x=1"),
        ("%(H)s", "HTTP/1.1"),
        ("%(s)s", "200"),
        ("%(B)s", "1234"),
        ("%(b)s", "1234"),
        ("%(T)s", "1"),
        ("%(M)s", "1234"),
        ("%(D)s", "1234567"),
        ("%(L)s", "1.234568"),
        ("%(F)s", "0.500000"),
        ("%(Q)s", "0.250000"),
        ("%(N)s", "3"),
        ("%(s)d|%(D)010d|%(m)-6s|%(m).1s", "200|0001234567|GET   |G"),
        ("100%% %(m)s%%", "100% GET%"),
        ("é%(m)s", "éGET"),
    ],
)
def test_atoms(text: str, expected: str) -> None:
    assert line(text) == expected


def test_the_process_is_shown_by_its_id() -> None:
    assert line("%(p)s") == f"<{os.getpid()}>"


@pytest.mark.parametrize(
    ("text", "changes", "expected"),
    [
        ("%(h)s", {"host": ""}, "-"),
        ("%(b)s %(B)s", {"sent": 0}, "- 0"),
        ("%(r)s|%(q)s", {"query": b""}, "GET /a%20b HTTP/1.1|"),
        ("%(T)s %(M)s %(D)s %(L)s", {"seconds": 0.0000012}, "0 0 1 0.000001"),
        ("%(Q)s", {"queued": None}, "-"),
        ("%(Q)s %(F)s", {"queued": 0.0, "first_byte": 0.0}, "0.000000 0.000000"),
    ],
)
def test_atoms_without_a_value(text: str, changes: dict[str, Any], expected: str) -> None:
    assert line(text, **changes) == expected


@pytest.mark.parametrize(
    ("zone", "expected"), [("UTC", "13/Sep/2020:12:26:40 +0000"), ("EST5", "13/Sep/2020:07:26:40 -0500")]
)
def test_the_time_is_that_of_the_common_log_format(monkeypatch: pytest.MonkeyPatch, zone: str, expected: str) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert line("%(t)s") == f"[{expected}]"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_header_fields_in_any_case() -> None:
    text = "%(f)s %(a)s %({X-One}i)s %({x-one}i)s %({missing}i)s %({X-Two}o)s %({x-two}o)s %({x-one}o)s"
    request = {"referer": b"http://r/", "user-agent": b"curl", "x-one": b"1"}
    assert line(text, request, {"x-two": b"2"}) == "http://r/ curl 1 1 - 2 2 -"


def test_a_format_asks_for_the_fields_that_it_names_only() -> None:
    format = make_access_format("%(h)s %(f)s %({X-One}i)s %({referer}i)s %({Date}o)s")
    assert format is not None
    assert format.request_names == [b"referer", b"x-one"]
    assert format.response_names == [b"date"]


def test_path_below_the_mount_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPT_NAME", "/sh/")
    assert [line("%(U)s", path=path) for path in (b"/sh/a", b"/shop", b"/sh", b"/a")] == ["/a", "/shop", "", "/a"]


def test_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELEASE", 'v"1"')
    assert line("%({RELEASE}e)s %({release}e)s %({NOT_THERE}e)s") == 'v\\"1\\" v\\"1\\" -'


@pytest.mark.parametrize(
    ("authorization", "user"),
    [
        (None, "-"),
        (b"", "-"),
        (b"Basic " + base64.b64encode(b"me:secret"), "me"),
        (b"basic  " + base64.b64encode(b"me:a:b"), "me"),
        (b"Basic " + base64.b64encode(b"no colon"), "no\\x20colon"),
        (b"Basic " + base64.b64encode(b'a - b "\n\xff:'), 'a\\x20-\\x20b\\x20\\"\\x0a\\xff'),
        (b"Basic " + base64.b64encode(b":secret"), "-"),
        (b"Basic not base64", "-"),
        (b"Bearer abcd", "-"),
    ],
)
def test_the_user_of_basic_authentication(authorization: bytes | None, user: str) -> None:
    assert line("%(u)s", {"authorization": authorization} if authorization is not None else {}) == user


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (b'" 200 "', '\\" 200 \\"'),
        (b'\\" 200', '\\\\\\" 200'),
        (b"a\r\nb\x00\x1b[2J\x7f", "a\\x0d\\x0ab\\x00\\x1b[2J\\x7f"),
        (b"caf\xc3\xa9 \xff", "caf\\xc3\\xa9 \\xff"),
        (b"%(h)s %s %", "%(h)s %s %"),
    ],
)
def test_clients_cannot_forge_anything(sent: bytes, shown: str) -> None:
    assert line('"%(a)s" %({user-agent}i)s', {"user-agent": sent}) == f'"{shown}" {shown}'
    assert line("%(U)s?%(q)s", path=sent, query=sent) == f"{shown}?{shown}"


@given(st.binary(), st.binary(), st.text())
def test_every_line_is_one_line_with_the_values_within_their_quotes(agent: bytes, path: bytes, host: str) -> None:
    made = line('"%(a)s" "%(U)s" "%(h)s"', {"user-agent": agent}, path=path, host=host)
    assert made.isascii()
    assert made.isprintable()
    assert re.fullmatch(r'"(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*"', made)


def test_json() -> None:
    request = {
        "authorization": b"Basic " + base64.b64encode(b"me:x"),
        "host": b"example.org",
        "referer": b"http://r/",
        "user-agent": b'a"b\\c\n',
    }
    made = line("json", request)
    assert "\n" not in made
    assert list(json.loads(made)) == KEYS
    assert json.loads(made) == {
        "time": "2020-09-13T12:26:40.500+00:00",
        "client": "127.0.0.1",
        "user": "me",
        "method": "GET",
        "scheme": "http",
        "host": "example.org",
        "path": "/a%20b",
        "query": "q=%s&x=1",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 1234,
        "duration": 1.234568,
        "first_byte": 0.5,
        "queued": 0.25,
        "referer": "http://r/",
        "user_agent": 'a"b\\c\n',
        "pid": os.getpid(),
        "thread": 3,
    }


def test_json_always_has_the_same_keys() -> None:
    loaded = json.loads(line("json", host="", query=b"", queued=None))
    assert list(loaded) == KEYS
    missing = ["client", "user", "host", "query", "queued", "referer", "user_agent"]
    assert [key for key in KEYS if loaded[key] is None] == missing


@pytest.mark.parametrize(
    ("text", "wants"), [("%(Q)s", True), ("json", True), ("%(h)s %(F)s", False), ("%%(Q)s", False), ("Q", False)]
)
def test_the_queue_time_is_looked_for_where_it_is_wanted(text: str, wants: bool) -> None:
    format = make_access_format(text)
    assert format is not None
    assert format.wants_queue_time == wants


@given(st.binary())
def test_json_takes_any_bytes(agent: bytes) -> None:
    made = line("json", {"user-agent": agent})
    assert made.isascii()
    assert made.isprintable()
    expected = agent.decode("utf-8", "backslashreplace")
    assert json.loads(made)["user_agent"] == (expected or None)


def test_gunicorns_default_format() -> None:
    request = {"referer": b"http://r/", "user-agent": b"curl/8"}
    made = line(GUNICORN_DEFAULT, request)
    assert re.sub(r"\[.+\]", "[]", made) == (
        '127.0.0.1 - - [] "GET /a%20b?q=%s&x=1 HTTP/1.1" 200 1234 "http://r/" "curl/8"'
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("%(z)s %(h)s", "there is no atom %(z)s; there are h l t r m U q H b L p F Q s B T M D N f a u"),
        ("%({Accept}x)s", "there is no atom %({Accept}x)s"),
        ("%({}i)s", "there is no atom %({}i)s"),
        ("%(h)s %(st)s", "there is no atom %(st)s"),
        ("%(h)s %h", "'%h': an atom is written %(h)s, and a percent sign %%"),
        ("%(h) %(s)s", "'%(h) %(s)s': an atom is written %(h)s"),
        ("%(h)s %(s", "'%(s': an atom is written %(h)s"),
        ("%(h)s 100%", "'%': an atom is written %(h)s"),
        ("%(h)d", "%(h)d cannot be written so; write %(h)s"),
        ("%(s)y", "%(s)y cannot be written so; write %(s)s"),
        ("combined", "'combined' is neither json nor a text with atoms such as %(h)s"),
        ("", "'' is neither json nor a text with atoms such as %(h)s"),
        ("%h %l %u", "'%h %l %u' is neither json nor a text with atoms such as %(h)s"),
        ("100%% $remote_addr", "'100%% $remote_addr' is neither json nor a text with atoms such as %(h)s"),
    ],
)
def test_a_bad_format_is_told_in_one_line(text: str, problem: str) -> None:
    told = check_format(text)
    assert told is not None
    assert told.startswith(problem)
    assert "\n" not in told


def test_a_bad_format_is_refused_as_a_setting() -> None:
    with pytest.raises(ConfigError, match=r"^access_log_format: there is no atom %\(z\)s;"):
        Config("main:app", access_log_format="%(z)s")


@given(st.text(st.sampled_from("%()s{}hi0 d-."), max_size=12))
def test_a_format_without_a_problem_makes_lines(text: str) -> None:
    if check_format(text) is None:
        line(text)
