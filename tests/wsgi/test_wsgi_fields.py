"""The status and the headers that applications give to start_response: what is taken, dropped and refused."""

import sys
from collections.abc import Callable, Iterable
from enum import StrEnum
from http import HTTPStatus
from typing import Any

import pytest
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.raw_client import Connect
from support.wsgi_apps import PLAIN, Environ, Pieces, StartResponse, with_start

# The case that each value is in, and how the log names it.
UNUSABLE = {
    "status of another type": (HTTPStatus.OK, PLAIN, "<HTTPStatus.OK: 200>"),
    "status that cannot be hashed": (["200 OK"], PLAIN, "['200 OK']"),
    "headers that are no iterable": ("200 OK", 5, "5"),
    "headers in a mapping": ("200 OK", dict(PLAIN), "'Content-Type'"),
    "header of one part": ("200 OK", [("X-Lone",)], "('X-Lone',)"),
    "header of three parts": ("200 OK", [["X-Three", "a", "b"]], "('X-Three', 'a', 'b')"),
    "header that is none": ("200 OK", [None], "None"),
    "value of another type": ("200 OK", [("X-Number", 5)], "'X-Number': 5"),
    "value that cannot be hashed": ("200 OK", [("X-List", ["a"])], "'X-List': ['a']"),
    "value beyond Latin-1": ("200 OK", [("X-Text", "\u20ac")], "X-Text: '\u20ac'"),
    "negative length": ("200 OK", [("Content-Length", "-5")], "'-5'"),
    "length beyond 64 bits": ("200 OK", [("Content-Length", "9" * 19)], f"'{'9' * 19}'"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_log_names_the_value_that_cannot_be_sent(
    serve: Serve, connect: Connect, error_log: ErrorLog, case: str
) -> None:
    status, headers, named = UNUSABLE[case]
    assert connect(serve(with_start(status, headers))).get().status == 500
    record = error_log.expect(text=named)
    assert record.exc_info


@pytest.mark.parametrize("way", ["short"])
@pytest.mark.parametrize(
    ("status", "line"),
    [
        ("503 Replaced", "503 Replaced"),
        ("299 Anything", "299 Anything"),
        ("200 caf\xe9", "200 caf\xe9"),
        ("200", "200 OK"),
        ("200 ", "200 OK"),
        ("299", "299 "),
    ],
)
@pytest.mark.parametrize("kind", ["list", "iterator", "exc_info"])
def test_phrase_is_the_applications_own(serve: Serve, connect: Connect, status: str, line: str, kind: str) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if kind == "exc_info":
            start_response("200 Never", PLAIN)
            try:
                raise ValueError
            except ValueError:
                start_response(status, PLAIN, sys.exc_info())
        else:
            start_response(status, PLAIN)
        return Pieces([b"a", b"b"]) if kind == "iterator" else [b"ab"]

    client = connect(serve(app, wsgi_threads=1))
    for _ in range(2):
        response = client.get()
        assert (f"{response.status} {response.reason}", response.body) == (line, b"ab")


@pytest.mark.parametrize(
    "status", ["200 O\r\nX-Forged: 1", "200 \x00", "100 Continue", "1000 Many", "200OK", "200 \u20ac"]
)
def test_status_that_cannot_be_sent(serve: Serve, connect: Connect, error_log: ErrorLog, status: str) -> None:
    assert connect(serve(with_start(status, PLAIN))).get().status == 500
    error_log.expect(ValueError, repr(status))


@pytest.mark.parametrize("way", ["short"])
def test_date_and_server_may_be_the_applications_own(serve: Serve, connect: Connect) -> None:
    own = [("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("Server", "Mine")]
    client = connect(serve(with_start("200 OK", own)))
    for _ in range(2):
        response = client.get()
        assert [value for name, value in response.headers if name == b"date"] == [b"Thu, 01 Jan 1970 00:00:00 GMT"]
        assert [value for name, value in response.headers if name == b"server"] == [b"Mine"]


def test_length_that_is_declared_twice(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    twice = [("Content-Length", "1"), ("X-Between", "y"), ("Content-Length", "1")]
    response = connect(serve(with_start("200 OK", twice))).get()
    assert [value for name, value in response.headers if name == b"content-length"] == [b"1"]
    assert response.body == b"x"
    assert connect(serve(with_start("200 OK", [*twice, ("Content-Length", "2")]))).get().status == 500
    error_log.expect(ValueError, "different values of Content-Length: 1 and 2")


class Texts(StrEnum):
    OK = "200 OK"
    NAME = "X-Kind"
    VALUE = "subclass"


class Escaped(str):
    """A text as template engines have it, whose methods answer with the like."""

    def __str__(self) -> str:
        return "something else"

    def encode(self, *args: Any, **kwargs: Any) -> bytes:
        raise AssertionError("the text itself was to be taken")


@pytest.mark.parametrize("kind", [str, Escaped])
def test_subclasses_of_str_are_the_text_they_are(serve: Serve, connect: Connect, kind: Callable[[Any], Any]) -> None:
    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        if environ["PATH_INFO"] == "/enum":
            start_response(Texts.OK, [(Texts.NAME, Texts.VALUE), (kind("Content-Length"), kind("2"))])
        else:
            start_response(kind("200 OK"), [(kind("X-Kind"), kind("subclass")), ["Content-Type", kind("text/plain")]])
        return [b"ok"]

    client = connect(serve(app, wsgi_threads=1))
    for path in ("/enum", "/kind", "/enum", "/kind"):
        response = client.get(path)
        assert (response.status, response.body, response.header("x-kind")) == (200, b"ok", b"subclass")
        assert response.header("content-length") == b"2"


@pytest.mark.parametrize(
    "headers",
    [tuple(PLAIN), [list(pair) for pair in PLAIN], dict(PLAIN).items(), Pieces(PLAIN)],
    ids=["tuple", "lists", "items", "iterable"],
)
def test_headers_are_any_pairs(serve: Serve, connect: Connect, headers: Any) -> None:
    response = connect(serve(with_start("200 OK", headers))).get()
    assert (response.status, response.header("content-type"), response.body) == (200, b"text/plain", b"x")


@pytest.mark.parametrize("value", ["close", "Close", "keep-alive, close"])
def test_application_may_close_the_connection(serve: Serve, connect: Connect, value: str) -> None:
    client = connect(serve(with_start("200 OK", [*PLAIN, ("Connection", value)])))
    response = client.get()
    assert (response.status, response.body, response.says_close) == (200, b"x", True)
    assert client.is_closed()


HOP_BY_HOP = [
    ("Connection", "keep-alive"),
    ("Keep-Alive", "timeout=5"),
    ("TE", "trailers"),
    ("Transfer-Encoding", "chunked"),
    ("Upgrade", "h2c"),
]


@pytest.mark.parametrize("result", [[b"ab"], Pieces([b"a", b"b"])], ids=["list", "iterator"])
def test_other_fields_of_the_connection_are_dropped(serve: Serve, connect: Connect, result: Iterable[bytes]) -> None:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("X-First", "1"), *HOP_BY_HOP, ("Content-Length", "2"), ("X-Last", "2")])
        return result if environ["PATH_INFO"] == "/" else [b"ab"]

    client = connect(serve(app, wsgi_threads=1))
    for path in ("/", "/again"):
        response = client.get(path)
        assert (response.status, response.body, response.says_close) == (200, b"ab", False)
        names = {name for name, _ in response.headers}
        assert not names & {name.lower().encode() for name, _ in HOP_BY_HOP}
        assert {b"x-first", b"content-length", b"x-last"} <= names
