"""Our own reading against both parsers, and what a chosen parser decides."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.raw_client import chunked, post, request
from support.reading import Reading, in_pieces, read, reader_maker
from support.refusals import LEFT_OPEN
from support.streams import GoodRequest, cuts, good_requests, streams

from threadserve.errors import ParserError
from threadserve.http.head import MessageFraming, RequestHead
from threadserve.http1.parsers import PARSERS, find_parser
from threadserve.http1.reader import RequestReader
from threadserve.http1.scan import HeadScanner
from threadserve.types import Headers

MAKERS = {name: reader_maker(name) for name in ("auto", *PARSERS)}


def outcome(reading: Reading) -> list[Any]:
    """All that is to be the same: complete requests, and how the reading ended. Parts of a last body may differ."""
    messages = [message for message in reading.messages if message.is_complete]
    error = reading.error
    return [
        *((*told(one.head), *told(one.head.framing), one.body) for one in messages),
        (error.status, error.reason) if error is not None else len(reading.messages) - len(messages),
    ]


def told(part: RequestHead | MessageFraming) -> list[Any]:
    """All that it says by itself."""
    return [getattr(part, name) for name in type(part).__slots__ if name != "framing"]


def hold(name: str, pieces: list[bytes]) -> list[Any]:
    return outcome(read(MAKERS[name](), pieces))


@settings(max_examples=200)
@given(st.data())
def test_all_parsers_and_all_splits_agree(data: st.DataObject) -> None:
    stream = data.draw(streams)
    expected = hold("auto", [stream])
    pieces = data.draw(cuts(stream))
    for name in MAKERS:
        assert hold(name, [stream]) == expected, name
        assert hold(name, pieces) == expected, name


@given(st.data())
@pytest.mark.parametrize("name", MAKERS)
def test_good_requests_are_read_as_they_were_sent(name: str, data: st.DataObject) -> None:
    sent: list[GoodRequest] = data.draw(st.lists(good_requests(), min_size=1, max_size=5))
    reading = read(MAKERS[name](), data.draw(cuts(b"".join(one.data for one in sent))))
    assert reading.error is None
    assert len(reading.messages) == len(sent)
    for one, message in zip(sent, reading.messages, strict=True):
        head = message.head
        assert (head.method, head.target) == (one.method, one.target.encode())
        assert head.headers == [(name.lower().encode(), value.encode("latin-1")) for name, value in one.headers]
        assert (message.body, message.is_complete, head.framing.keep_alive) == (one.body, True, not one.closes)


@pytest.mark.parametrize("data", LEFT_OPEN)
def test_what_rfc_9112_leaves_open_is_read_alike(data: bytes) -> None:
    data += request("GET", "/next")
    expected = hold("auto", [data])
    for name in MAKERS:
        assert hold(name, [data]) == expected
        assert hold(name, in_pieces(data, 1)) == expected


class OddParser:
    """Reads something else than what is there, and refuses what it is told to."""

    method: str
    target: bytes
    headers: Headers

    def __init__(self, refused: bytes = b"\0") -> None:
        self.refused = refused
        self.bodies: list[bytes] = []

    def read_head(self, data: bytes) -> None:
        if self.refused in data:
            raise ParserError("odd")
        self.method, self.target, self.headers = "ODD", b"/odd", [(b"odd", b"1")]

    def read_body(self, data: bytes) -> bytes:
        if self.refused in data:
            raise ParserError("odd")
        self.bodies.append(data)
        return data.upper()


def reader_with(parser: OddParser) -> RequestReader:
    return RequestReader(1000, 100, 1000, 1000, HeadScanner(1), parser)


def test_what_a_parser_reads_is_what_is_used() -> None:
    data = post("/", b"abc") + request("PUT", "/", "Transfer-Encoding: chunked", body=chunked(b"d", extension=b" ;a"))
    parser = OddParser()
    first, second = read(reader_with(parser), [data]).messages
    assert (first.head.method, first.head.target, first.head.headers) == ("ODD", b"/odd", [(b"odd", b"1")])
    assert (first.head.framing.content_length, second.head.framing.chunked) == (3, True)
    # The parser is shown a chunked body as it came, but for the extensions.
    assert parser.bodies == [b"abc", b"1\r\nd\r\n0\r\n\r\n"]
    assert (first.body, second.body) == (b"ABC", b"1\r\nD\r\n0\r\n\r\n")


def test_grammar_decides_before_a_parser() -> None:
    error = read(reader_with(OddParser(b"Host")), [request("GET", "/", "Content-Length: x")]).error
    assert error is not None
    assert error.reason == "malformed Content-Length: 'x'"


def test_what_a_parser_refuses_is_refused() -> None:
    for data, reason in (
        (request(), "malformed request"),
        (request("PUT", "/", "Content-Length: 3"), "malformed body"),
    ):
        refused = b"Host" if reason == "malformed request" else b"odd"
        error = read(reader_with(OddParser(refused)), [data + b"odd"]).error
        assert error is not None
        assert (error.status, error.reason) == (400, reason)


def test_auto_is_our_own_reading() -> None:
    assert find_parser("auto") is None


def test_parsers_are_imported_only_where_they_are_chosen() -> None:
    program = (
        "import sys, threadserve.http1.reader\n"
        "loaded = [name for name in sys.modules if name.startswith('threadserve.http1.parsers.')]\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_parser_whose_library_is_missing_cannot_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httptools", None)
    monkeypatch.delitem(sys.modules, "threadserve.http1.parsers.httptools_parser", raising=False)
    with pytest.raises(ImportError, match="httptools"):
        find_parser("httptools")
