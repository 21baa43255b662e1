"""Heads and bodies out of bytes, with no socket."""

from itertools import pairwise
from typing import Any

import pytest
from support.raw_client import chunked, post, request
from support.reading import NewReader, in_pieces, read
from support.refusals import BODIES, HEADS, Refusal

from threadserve.http.errors import HTTPError
from threadserve.http.head import RequestHead

STREAM = (
    b"\r\n\r\nGET /a?b HTTP/1.1\r\nHost: x \r\nX-A:\r\n\r\n"
    b"POST /c HTTP/1.1\r\nHost:\tx\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5 ; a=b\r\nhello\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n"
    b"PUT /d HTTP/1.0\r\nCONTENT-LENGTH: 3\r\n\r\nabc"
)
CHUNKED = request("POST", "/", "Transfer-Encoding: chunked")
# Whose host is asked for where the target is used, not where it is read.
ABSOLUTE = [b"http:///a", b"http://user@x/a", b"http://u:p@x/a", b"http://[::1/a", b"http://x:port/a"]
REFUSED = [refusal for refusal in HEADS if not any(b" " + target + b" " in refusal.data for target in ABSOLUTE)]
SHORT = [refusal for refusal in [*REFUSED, *BODIES] if len(refusal.data) < 300]


def ids(refusals: list[Refusal]) -> list[str]:
    return [refusal.name for refusal in refusals]


def head_of(new_reader: NewReader, data: bytes) -> RequestHead:
    reader = new_reader()
    reader.feed(data)
    head = reader.read_head()
    assert head is not None
    return head


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_requests_are_read_however_they_arrive(new_reader: NewReader, step: int) -> None:
    reader = new_reader()
    reading = read(reader, in_pieces(STREAM, step))
    assert reading.error is None
    first, second, third = reading.messages
    assert (first.head.method, first.head.target, first.head.version) == ("GET", b"/a?b", "1.1")
    assert (first.head.headers, first.head.control_fields) == ([(b"host", b"x"), (b"x-a", b"")], [(b"host", b"x")])
    assert (first.head.framing.has_body, first.is_complete, first.body) == (False, True, b"")
    assert (second.head.method, second.head.framing.chunked, second.head.framing.has_body) == ("POST", True, True)
    assert (second.is_complete, second.body) == (True, b"helloabc")
    assert (third.head.version, third.head.framing.content_length, third.head.framing.keep_alive) == ("1.0", 3, False)
    assert (third.is_complete, third.body) == (True, b"abc")
    assert reader.unread == 0


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (request(), {"keep_alive": True, "has_body": False, "content_length": 0, "chunked": False}),
        (request("GET", "/", "Connection: close"), {"keep_alive": False}),
        (request("GET", "/", "Connection: keep-alive , Close"), {"keep_alive": False}),
        (request(version="1.0"), {"keep_alive": False, "version": "1.0"}),
        (request("GET", "/", "Connection: Keep-Alive", version="1.0"), {"keep_alive": True}),
        (request("PUT", "/", "Content-Length: 0"), {"has_body": False, "content_length": 0}),
        (request("PUT", "/", "Content-Length: 0012"), {"has_body": True, "content_length": 12}),
        (request("PUT", "/", "Content-Length: " + "9" * 18), {"content_length": 10**18 - 1}),
        (request("PUT", "/", "Transfer-Encoding: CHUNKED"), {"has_body": True, "chunked": True}),
        (request("PUT", "/", "Content-Length: 1", "Expect: 100-Continue"), {"expects_continue": True}),
        (request("PUT", "/", "Expect: 100-continue", version="1.0"), {"expects_continue": False}),
        (request("PUT", "/", "Expect: 200-ok"), {"expects_continue": False}),
        (request("GET", "/", "Connection: Upgrade", "Upgrade: WebSocket"), {"wants_websocket": True}),
        (request("GET", "/", "Connection: a, upgrade", "Upgrade: h2c, websocket"), {"wants_websocket": True}),
        (request("GET", "/", "Connection: close", "Upgrade: websocket"), {"wants_websocket": False}),
        (request("GET", "/", "Connection: upgrade", "Upgrade: h2c"), {"wants_websocket": False}),
        (
            request("GET", "/", "Connection: upgrade", "Upgrade: websocket", "Content-Length: 1"),
            {"wants_websocket": False, "has_body": True},
        ),
        (request("GET", "/", "Connection: upgrade", "Upgrade: websocket", version="1.0"), {"wants_websocket": False}),
    ],
)
def test_head_tells_what_becomes_of_the_message(new_reader: NewReader, data: bytes, told: dict[str, Any]) -> None:
    head = head_of(new_reader, data)
    assert {name: getattr(head if name == "version" else head.framing, name) for name in told} == told


def test_what_fields_mean_follows_each_request(new_reader: NewReader) -> None:
    """Though verdicts are kept from one request to the next."""
    closing, forwarded = request("GET", "/", "Connection: close"), request("GET", "/", "X-Forwarded-For: 192.0.2.1")
    data = [request(), request(), closing, request(), request(version="1.0"), request(), forwarded, closing]
    reading = read(new_reader(), [b"".join(data)])
    assert [message.head.framing.keep_alive for message in reading.messages] == [
        True, True, False, True, False, True, True, False
    ]  # fmt: skip
    assert reading.messages[6].head.control_fields == [(b"host", b"example.org"), (b"x-forwarded-for", b"192.0.2.1")]
    assert reading.messages[5].head.control_fields == [(b"host", b"example.org")]


def test_bad_fields_are_refused_again_after_they_were(new_reader: NewReader) -> None:
    bad = b"GET / HTTP/1.1\r\n\r\n"
    reader = new_reader()
    for data in (bad, request(), bad, bad):
        reader.feed(data)
        if data == bad:
            with pytest.raises(HTTPError, match="no Host"):
                reader.read_head()
            reader.discard()
        else:
            assert reader.read_head() is not None


# Refusals.


@pytest.mark.parametrize("refusal", [*REFUSED, *BODIES], ids=ids([*REFUSED, *BODIES]))
def test_bad_request_is_refused(new_reader: NewReader, refusal: Refusal) -> None:
    error = read(new_reader(), [request() + refusal.data + request() * 3]).error
    assert error is not None
    assert error.status in refusal.statuses
    assert error.reason
    assert error.reason.isascii()
    assert len(error.reason.splitlines()) == 1


@pytest.mark.parametrize("refusal", SHORT, ids=ids(SHORT))
def test_bad_request_is_refused_just_so_when_it_comes_byte_by_byte(new_reader: NewReader, refusal: Refusal) -> None:
    data = refusal.data + request()
    at_once, by_bytes = read(new_reader(), [data]).error, read(new_reader(), in_pieces(data, 1)).error
    assert at_once is not None
    assert by_bytes is not None
    assert by_bytes.status == at_once.status
    assert by_bytes.reason == at_once.reason


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"\x16", 400, "byte 0x16 at position 0 is not allowed in a request line"),
        (b"\n", 400, "byte 0x0a at position 0 is not allowed in a request line"),
        (b"\rX", 400, "byte 0x0d at position 0 is not allowed in a request line"),
        (b"GET /\xe4", 400, "byte 0xe4 at position 5 is not allowed in a request line"),
        (b"GET / HTTP/1.1\n", 400, "byte 0x0a at position 14 is not allowed in a request line"),
        (b"GET / HTTP/1.1\r\nA: b\0", 400, "byte 0x00 at position 20 is not allowed in a header field"),
        (b"GET / HTTP/1.1\r\nA: b\rc", 400, "byte 0x0d at position 20 is not allowed in a header field"),
        (b"GET / HTTP/1.1\r\nA b\r\n", 400, "malformed header field at byte 16: 'A b\\r\\n'"),
        (b"GET /\r\n", 400, "the request line is not a method, a target and a version"),
        (b"GET / HTTP/x\r\n", 400, "malformed HTTP version: 'HTTP/x'"),
        (b"GET / HTTP/2.0\r\n", 505, "'HTTP/2.0' is not supported here, only HTTP/1.1 and HTTP/1.0"),
        (b"G(T / HTTP/1.1\r\n", 400, "malformed method: 'G(T'"),
        (b"get / HTTP/1.1\r\n", 501, "method not implemented: 'get'"),
        (b"GET * HTTP/1.1\r\n", 400, "malformed request target: '*'"),
        (b"GET http:// HTTP/1.1\r\n", 400, "malformed request target: 'http://'"),
        (b"GET /#a HTTP/1.1\r\n", 400, "malformed request target: '/#a'"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "no Host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "more than one Host"),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "malformed Host: 'a b'"),
        (request("PUT", "/", "Content-Length: -1"), 400, "malformed Content-Length: '-1'"),
        (request("PUT", "/", "Transfer-Encoding: gzip"), 501, "transfer coding not implemented: 'gzip'"),
        (CHUNKED + b"1\r\naX", 400, "a chunk's data is not followed by CRLF"),
        (CHUNKED + b"0\r\nContent-Length: 1\r\n\r\n", 400, "a trailer cannot frame the message: 'Content-Length'"),
        (CHUNKED + b"0\r\nA\r\n", 400, "malformed header field at byte 0: 'A\\r\\n'"),
    ],
)
def test_reason_is_told_with_the_byte_that_makes_it_certain(
    new_reader: NewReader, data: bytes, status: int, reason: str
) -> None:
    error = read(new_reader(), [data]).error
    assert error is not None
    assert (error.status, error.reason, error.fields) == (status, reason, ())
    assert read(new_reader(), [data[:-1]]).error is None


@pytest.mark.parametrize("target", [b"http://x", b"http://x://", b"HTTP://x/a#"[:-1], b"https://://", b"/://"])
def test_target_is_taken_alike_in_one_piece_and_in_many(new_reader: NewReader, target: bytes) -> None:
    data = b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    for step in (1, len(data)):
        (message,) = read(new_reader(), in_pieces(data, step)).messages
        assert message.head.target == target


# Limits.

SIZE = 200


def sized(size: int, *, in_target: bool = False) -> bytes:
    """A head of so many bytes."""
    padding = "x" * (size - len(request("GET", "/", "X: ")))
    return request("GET", "/" + padding, "X: ") if in_target else request("GET", "/", "X: " + padding)


@pytest.mark.parametrize("step", [1, 50, 1000])
@pytest.mark.parametrize("in_target", [False, True])
def test_limit_on_the_size_of_heads(new_reader: NewReader, step: int, in_target: bool) -> None:
    largest = sized(SIZE, in_target=in_target)
    reading = read(new_reader(head_limit=SIZE), in_pieces(largest * 3, step))
    assert (len(reading.messages), reading.error) == (3, None)
    reading = read(new_reader(head_limit=SIZE), in_pieces(largest + sized(SIZE + 1, in_target=in_target), step))
    assert len(reading.messages) == 1
    assert reading.error is not None
    assert (reading.error.status, reading.error.reason) == (431, f"the head of the request is longer than {SIZE} bytes")


@pytest.mark.parametrize("step", [1, 50, 1000])
def test_limit_on_the_request_line(new_reader: NewReader, step: int) -> None:
    error = read(new_reader(head_limit=SIZE), in_pieces(sized(2 * SIZE, in_target=True), step)).error
    assert error is not None
    assert (error.status, error.reason) == (414, f"the request line is longer than {SIZE} bytes")


def test_no_more_of_a_head_is_wanted_than_it_may_have(new_reader: NewReader) -> None:
    for data in (b"GET /" + b"x" * SIZE, b"GET / HTTP/1.1\r\nX: " + b"x" * SIZE):
        assert read(new_reader(head_limit=SIZE), [data[:SIZE]]).error is None
        error = read(new_reader(head_limit=SIZE), [data[: SIZE + 1]]).error
        assert error is not None
        assert error.status in (414, 431)


def test_limit_on_the_number_of_fields(new_reader: NewReader) -> None:
    fields = [f"X-{number}: a" for number in range(20)]
    reading = read(new_reader(field_limit=20), [request("GET", "/", *fields[:19]), request("GET", "/", *fields)])
    assert len(reading.messages) == 1
    assert reading.error is not None
    assert (reading.error.status, reading.error.reason) == (431, "more than 20 header fields")


@pytest.mark.parametrize("step", [1, 1000])
def test_limit_on_the_line_of_a_chunk_size(new_reader: NewReader, step: int) -> None:
    line = b"3;" + b"a" * 46 + b"\r\n"
    for longer in (b"", b"a"):
        data = CHUNKED + line.replace(b"\r", longer + b"\r") + b"abc\r\n0\r\n\r\n"
        reading = read(new_reader(chunk_line_limit=50), in_pieces(data, step))
        if longer:
            assert reading.error is not None
            assert reading.error.reason == "the line of a chunk size is longer than 50 bytes"
        else:
            assert reading.messages[0].is_complete
    data = CHUNKED + b'3;a="' + b"b" * 100
    assert read(new_reader(chunk_line_limit=50), in_pieces(data[: len(CHUNKED) + 50], step)).error is None
    assert read(new_reader(chunk_line_limit=50), in_pieces(data[: len(CHUNKED) + 51], step)).error is not None


@pytest.mark.parametrize("step", [1, 1000])
def test_limit_on_trailers(new_reader: NewReader, step: int) -> None:
    trailers = b"X: " + b"a" * 43 + b"\r\n\r\n"
    for longer in (b"", b"a"):
        data = CHUNKED + b"0\r\n" + trailers.replace(b"a\r", longer + b"a\r")
        reading = read(new_reader(trailers_limit=50), in_pieces(data, step))
        if longer:
            assert reading.error is not None
            assert (reading.error.status, reading.error.reason) == (431, "the trailers are longer than 50 bytes")
        else:
            assert reading.messages[0].is_complete
    unended = CHUNKED + b"0\r\n" + b"X: " + b"a" * 100
    assert read(new_reader(trailers_limit=50), in_pieces(unended[: len(CHUNKED) + 3 + 50], step)).error is None
    assert read(new_reader(trailers_limit=50), in_pieces(unended[: len(CHUNKED) + 3 + 51], step)).error is not None


# Bodies.


@pytest.mark.parametrize(
    "body",
    [
        b"3\r\nabc\r\n0\r\n\r\n", b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"3;name=value\r\nabc\r\n0\r\n\r\n",
        b'3;name="quoted; \\" value"\r\nabc\r\n0;last\r\n\r\n', b"0003\r\nabc\r\n000\r\n\r\n",
        b"3\r\nabc\r\n0\r\nx-trailer: 1\r\nX-Other:\r\n\r\n", b"3 ;a\r\nabc\r\n0\t;a\r\n\r\n",
        b"3; a\t= b ; c\r\nabc\r\n0 ;\ta =\t\"\" ; d\r\n\r\n", b"000000000000003\r\nabc\r\n000000000000000\r\n\r\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("step", [1, 2, 5, 1000])
def test_chunked_body_is_decoded(new_reader: NewReader, body: bytes, step: int) -> None:
    reading = read(new_reader(), in_pieces(CHUNKED + body + request("GET", "/next"), step))
    first, second = reading.messages
    assert (first.body, first.is_complete, second.head.target) == (b"abc", True, b"/next")


def test_sizes_of_chunks_are_hexadecimal_in_both_cases(new_reader: NewReader) -> None:
    for size in (b"1a", b"1A"):
        (message,) = read(new_reader(), [CHUNKED + size + b"\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n"]).messages
        assert message.body == b"x" * 26


def test_part_of_a_chunk_is_handed_on_at_once(new_reader: NewReader) -> None:
    reader = new_reader()
    reader.feed(CHUNKED + b"5\r\nab")
    assert reader.read_head() is not None
    assert (reader.read_body(), reader.body_complete, reader.unread) == (b"ab", False, 0)
    assert (reader.read_body(), reader.body_complete) == (b"", False)
    reader.feed(b"cde\r")
    assert (reader.read_body(), reader.body_complete, reader.unread) == (b"cde", False, 1)
    reader.feed(b"\n1\r\nf\r\n2\r\ngh\r\n1\r\n")
    assert (reader.read_body(), reader.body_complete) == (b"fgh", False)
    reader.feed(b"i\r\n0\r\n\r\nGET")
    assert (reader.read_body(), reader.body_complete, reader.unread) == (b"i", True, 3)


def test_body_with_a_length_is_handed_on_as_it_arrives(new_reader: NewReader) -> None:
    reader = new_reader()
    reader.feed(post("/", b"abcdef")[:-5])
    assert reader.body_complete
    head = reader.read_head()
    assert head is not None
    assert (head.framing.has_body, reader.body_complete) == (True, False)
    assert (reader.read_body(), reader.read_body(), reader.body_complete) == (b"a", b"", False)
    reader.feed(b"bcd")
    assert (reader.read_body(), reader.body_complete) == (b"bcd", False)
    reader.feed(b"efGET")
    assert (reader.read_body(), reader.body_complete, reader.unread) == (b"ef", True, 3)


def test_bytes_that_are_all_of_a_part_are_not_copied(new_plain_reader: NewReader) -> None:
    reader = new_plain_reader()
    for head in (request("PUT", "/", "Content-Length: 9000"), CHUNKED + b"2328\r\n"):
        reader.feed(head)
        assert reader.read_head() is not None
        assert reader.read_body() == b""
        for piece in (b"a" * 3000, b"b" * 3000):
            reader.feed(piece)
            assert reader.read_body() is piece
        reader.feed(b"c" * 3000 + (b"" if head is not None and b"Content" in head else b"\r\n0\r\n\r\n"))
        assert reader.read_body() == b"c" * 3000
        assert reader.body_complete


# What is unread.


def test_head_begun_tells_of_a_part_of_a_head(new_reader: NewReader) -> None:
    reader = new_reader()
    assert (reader.read_head(), reader.has_partial_head, reader.unread) == (None, False, 0)
    reader.feed(b"\r\n\r\n")
    assert (reader.read_head(), reader.has_partial_head, reader.unread) == (None, False, 0)
    reader.feed(b"\r")
    assert (reader.read_head(), reader.has_partial_head, reader.unread) == (None, True, 1)
    reader.feed(b"\n")
    assert (reader.read_head(), reader.has_partial_head, reader.unread) == (None, False, 0)
    data = request()
    for before, after in pairwise(range(0, len(data), 5)):
        reader.feed(data[before:after])
        assert (reader.read_head(), reader.has_partial_head, reader.unread) == (None, True, after)
    reader.feed(data[len(data) - 1 - (len(data) - 1) % 5 :] + b"GET")
    assert reader.read_head() is not None
    assert (reader.has_partial_head, reader.unread) == (False, 3)
    assert (reader.read_head(), reader.has_partial_head, reader.unread) == (None, True, 3)


def test_nothing_is_left_after_a_discard(new_reader: NewReader) -> None:
    for data in (b"GET /", post("/", b"abc")[:-1], CHUNKED + b"5\r\nabc", CHUNKED + b"0\r\nX: a\r\n"):
        reader = new_reader()
        read(reader, [data])
        reader.discard()
        assert (reader.unread, reader.has_partial_head, reader.body_complete) == (0, False, True)
        assert read(reader, in_pieces(post("/a", b"next"), 7)).messages[0].body == b"next"


def test_rest_is_what_has_not_been_read(new_reader: NewReader) -> None:
    reader = new_reader()
    assert reader.take_unread() == b""
    reader.feed(request() + b"\x81\x00abc")
    assert reader.read_head() is not None
    assert (reader.take_unread(), reader.unread, reader.take_unread()) == (b"\x81\x00abc", 0, b"")


def test_requests_behind_a_body_wait_for_their_turn(new_reader: NewReader) -> None:
    reader = new_reader()
    data = post("/a", b"abc") + request("PUT", "/b", "Transfer-Encoding: chunked", body=chunked(b"d", b"e")) + b"\0"
    reader.feed(data)
    assert reader.read_head() is not None
    assert reader.read_body() == b"abc"
    assert reader.read_head() is not None
    assert (reader.read_body(), reader.body_complete, reader.unread) == (b"de", True, 1)
    with pytest.raises(HTTPError):
        reader.read_head()
