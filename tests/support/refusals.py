"""Requests that a server must refuse, by what is wrong with them, with the statuses that fit."""

from typing import NamedTuple

from support.raw_client import request

BAD = {400}
UNSUPPORTED = {501}
# Which of the two fits is left open where a coding is both malformed and unknown.
BAD_CODING = {400, 501}


class Refusal(NamedTuple):
    """A request, and the statuses of which one must answer it."""

    name: str
    data: bytes
    statuses: set[int]


def with_field(name: str, *lines: bytes, statuses: set[int] = BAD) -> Refusal:
    """A POST with these raw field lines in the middle of its head."""
    fields = b"".join(line + b"\r\n" for line in lines)
    return Refusal(name, b"POST /refused HTTP/1.1\r\nHost: x\r\n" + fields + b"X-Last: 1\r\n\r\n", statuses)


def with_line(name: str, line: bytes, statuses: set[int] = BAD) -> Refusal:
    """A request with this raw request line."""
    return Refusal(name, line + b"\r\nHost: x\r\n\r\n", statuses)


CHUNKED = b"Transfer-Encoding: chunked"

CONTENT_LENGTH = [
    *(
        with_field(f"length {value!r}", b"Content-Length: " + value)
        for value in (
            b"+5",
            b"-5",
            b"-0",
            b"0x5",
            b"5 5",
            b"5,5",
            b"5, 5",
            b"5,6",
            b"",
            b"5;",
            b"five",
            b"5.0",
            b"1e1",
            b"5_0",
        )
    ),
    with_field("length in other digits", b"Content-Length: \xd9\xa5"),
    with_field("length with a vertical tab", b"Content-Length: \x0b5"),
    with_field("length of 30 digits", b"Content-Length: " + b"9" * 30, statuses={400, 413}),
    with_field("length of 2**64", b"Content-Length: 18446744073709551616", statuses={400, 413}),
    with_field("length of 5000 digits", b"Content-Length: " + b"9" * 5000, statuses={400, 413}),
    with_field("two lengths", b"Content-Length: 5", b"Content-Length: 6"),
    with_field("one length twice", b"Content-Length: 5", b"Content-Length: 5"),
    with_field("two lengths apart", b"Content-Length: 5", b"X-A: b", b"content-length: 0"),
]

TRANSFER_ENCODING = [
    with_field("length and chunked", b"Content-Length: 5", CHUNKED),
    with_field("chunked and length", CHUNKED, b"Content-Length: 5"),
    with_field("length 0 and chunked", b"Content-Length: 0", CHUNKED),
    with_field("length and gzip", b"Content-Length: 5", b"Transfer-Encoding: gzip", statuses=BAD_CODING),
    with_field("gzip", b"Transfer-Encoding: gzip", statuses=UNSUPPORTED),
    with_field("gzip, chunked", b"Transfer-Encoding: gzip, chunked", statuses=UNSUPPORTED),
    with_field("gzip and chunked", b"Transfer-Encoding: gzip", CHUNKED, statuses=UNSUPPORTED),
    with_field("chunked, gzip", b"Transfer-Encoding: chunked, gzip", statuses=BAD_CODING),
    with_field("chunked twice", b"Transfer-Encoding: chunked, chunked"),
    with_field("chunked in two fields", CHUNKED, CHUNKED),
    with_field("chunked and identity", CHUNKED, b"Transfer-Encoding: identity", statuses=BAD_CODING),
    *(
        with_field(f"coding {value!r}", b"Transfer-Encoding: " + value, statuses=BAD_CODING)
        for value in (
            b"identity",
            b"identity, chunked",
            b"xchunked",
            b"chunkedx",
            b"chunked;x",
            b"chunked; q=0.5",
            b"chunked;",
            b"chunked,",
            b", chunked",
            b"",
            b'"chunked"',
            b"'chunked'",
            b"chun ked",
            b"chunked chunked",
            b"chunked\xa0",
            b"\xc2\xa0chunked",
            b"\x85chunked",
        )
    ),
    *(
        with_field(f"coding {value!r}", b"Transfer-Encoding: " + value, statuses=BAD_CODING)
        for value in (b"\x0bchunked", b"chunked\x0b", b"\x0cchunked", b"chunked\x1f", b"\x7fchunked")
    ),
    with_field("space before the colon of the coding", b"Transfer-Encoding : chunked"),
    with_field("tab before the colon of the coding", b"Transfer-Encoding\t: chunked"),
    with_field("folded coding", b"Transfer-Encoding:\r\n chunked"),
    with_field("coding behind a fold", b"X-A: b\r\n Transfer-Encoding: chunked"),
    Refusal("chunked in HTTP/1.0", request("POST", "/refused", CHUNKED.decode(), version="1.0"), BAD),
    Refusal(
        "chunked and keep-alive in HTTP/1.0",
        request("POST", "/refused", CHUNKED.decode(), "Connection: keep-alive", version="1.0"),
        BAD,
    ),
]

LINE_ENDS = [
    Refusal("bare LF everywhere", b"GET /refused HTTP/1.1\nHost: x\n\n", BAD),
    Refusal("bare LF after the request line", b"GET /refused HTTP/1.1\nHost: x\r\n\r\n", BAD),
    Refusal("bare LF after a field", b"GET /refused HTTP/1.1\r\nHost: x\nX-A: b\r\n\r\n", BAD),
    Refusal("bare LF after the last field", b"GET /refused HTTP/1.1\r\nHost: x\n\r\n", BAD),
    Refusal("bare LF for the empty line", b"GET /refused HTTP/1.1\r\nHost: x\r\n\n", BAD),
    Refusal("bare LF before the request line", b"\nGET /refused HTTP/1.1\r\nHost: x\r\n\r\n", BAD),
    Refusal("bare CR after the request line", b"GET /refused HTTP/1.1\rHost: x\r\n\r\n", BAD),
    Refusal("bare CR before the request line", b"\rGET /refused HTTP/1.1\r\nHost: x\r\n\r\n", BAD),
    Refusal("bare CR in the target", b"GET /ref\rused HTTP/1.1\r\nHost: x\r\n\r\n", BAD),
    Refusal("bare CR for the empty line", b"GET /refused HTTP/1.1\r\nHost: x\r\n\rX", BAD),
    Refusal("CR CR LF after a field", b"GET /refused HTTP/1.1\r\nHost: x\r\r\n\r\n", BAD),
    Refusal("CR CR LF for the empty line", b"GET /refused HTTP/1.1\r\nHost: x\r\n\r\r\n", BAD),
    with_field("bare CR in a value", b"X-A: b\rX-C: d"),
    with_field("bare CR before a value", b"X-A: \rb"),
    with_field("bare CR after a value", b"X-A: b\r\r"),
    with_field("bare LF in a value", b"X-A: b\nX-C: d"),
]

FIELDS = [
    with_field("NUL in a value", b"X-A: b\0c"),
    with_field("NUL before a value", b"X-A: \0b"),
    with_field("NUL in a name", b"X\0A: b"),
    with_field("fold", b"X-A: b\r\n c"),
    with_field("fold with a tab", b"X-A: b\r\n\tc"),
    with_field("empty fold", b"X-A: b\r\n "),
    Refusal("fold before the first field", b"GET /refused HTTP/1.1\r\n X-A: b\r\nHost: x\r\n\r\n", BAD),
    Refusal("fold of the last field", b"GET /refused HTTP/1.1\r\nHost: x\r\n y\r\n\r\n", BAD),
    Refusal("only a fold", b"GET /refused HTTP/1.1\r\n \r\nHost: x\r\n\r\n", BAD),
    with_field("space before the colon", b"X-A : b"),
    with_field("tab before the colon", b"X-A\t: b"),
    with_field("empty name", b": b"),
    with_field("space for a name", b" : b"),
    with_field("no colon", b"X-A"),
    with_field("no colon but a space", b"X-A b"),
    *(
        with_field(f"name {name!r}", name + b": b")
        for name in (
            b"X A",
            b"X(A)",
            b"X/A",
            b"X@A",
            b"X[A]",
            b'X"A"',
            b"X,A",
            b"X;A",
            b"X=A",
            b"X{A}",
            b"X\\A",
            b"X<A>",
            b"X?A",
        )
    ),
    *(
        with_field(f"name {name!r}", name + b": b")
        for name in (b"X\xffA", b"\xc3\xa4", b"X\x7f", b"X\x01", b"\x0bX", b"X\x0b")
    ),
]

HOST = [
    Refusal("no Host", b"GET /refused HTTP/1.1\r\n\r\n", BAD),
    Refusal("no Host but other fields", b"GET /refused HTTP/1.1\r\nX-Host: x\r\n\r\n", BAD),
    Refusal("no Host with an absolute target", b"GET http://x/refused HTTP/1.1\r\n\r\n", BAD),
    with_field("two hosts", b"Host: y"),
    with_field("one host twice", b"Host: x"),
    with_field("a second, empty host", b"host:"),
    Refusal("two hosts in HTTP/1.0", b"GET /refused HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", BAD),
    *(
        Refusal(f"host {host!r}", b"GET /refused HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", BAD)
        for host in (
            b"a b", b"a/b", b"a@b", b"user:pw@b", b"[::1", b"::1]", b"[]", b"[::1]x", b"host:port", b"host:80:80",
            b"host:-1",
            b"host:+80", b"http://host", b"a?b", b"a#b", b"a\\b", b'"a"', b"<a>", b"a\xffb", b"\xc3\xa4", b"a\tb",
            b"[::1]:x",
        )
    ),
]  # fmt: skip

REQUEST_LINES = [
    with_line("unknown method", b"FOO /refused HTTP/1.1", UNSUPPORTED),
    with_line("unknown method with dashes", b"M-FOO /refused HTTP/1.1", UNSUPPORTED),
    with_line("lower-case method", b"get /refused HTTP/1.1", UNSUPPORTED),
    with_line("mixed-case method", b"Post /refused HTTP/1.1", UNSUPPORTED),
    with_line("method with a letter too many", b"GETT /refused HTTP/1.1", UNSUPPORTED),
    with_line("CONNECT", b"CONNECT x:80 HTTP/1.1", UNSUPPORTED),
    *(
        with_line(f"method {method!r}", method + b" /refused HTTP/1.1")
        for method in (b"G(T", b"G/T", b"GE\xc3\xa4", b"G\0T", b"G,T", b"G:T", b'"GET"', b"G[T]", b"{GET}", b"@")
    ),
    with_line("no method", b" /refused HTTP/1.1"),
    with_line("space before the method", b" GET /refused HTTP/1.1"),
    with_line("tab after the method", b"GET\t/refused HTTP/1.1"),
    with_line("two spaces after the method", b"GET  /refused HTTP/1.1"),
    with_line("two spaces before the version", b"GET /refused  HTTP/1.1"),
    with_line("tab before the version", b"GET /refused\tHTTP/1.1"),
    with_line("no target", b"GET HTTP/1.1"),
    with_line("empty target", b"GET  HTTP/1.1"),
    with_line("only a method", b"GET"),
    with_line("asterisk with GET", b"GET * HTTP/1.1"),
    with_line("asterisk with POST", b"POST * HTTP/1.1"),
    *(
        with_line(f"target {target!r}", b"GET " + target + b" HTTP/1.1")
        for target in (
            b"foo", b"refused/", b"?a", b"**", b"*a", b"/a b", b"/a#b", b"/#", b"/a?b#c", b"/\xc3\xa4", b"/\xff",
            b"/a?\xff", b"/\0",
            b"/a\x01", b"/a\x7f", b"/a\tb", b"x:80", b"http://", b"http:///a", b"http://user@x/a",
            b"http://u:p@x/a", b"http://[::1/a",
            b"http://x:port/a", b"http:/x/a", b"http:x", b"http://x/a#b", b"://x/a", b"//\xff",
        )
    ),
    *(
        with_line(f"version {version!r}", b"GET /refused " + version, {505})
        for version in (b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/3.0", b"HTTP/9.9")
    ),
    with_line("HTTP/2 preface", b"PRI * HTTP/2.0", {400, 501, 505}),
    with_line("no version", b"GET /refused", {400, 505}),
    *(
        with_line(f"version {version!r}", b"GET /refused " + version)
        for version in (
            b"HTTP/1.x", b"http/1.1", b"Http/1.1", b"HTTP/1.1 ", b"HTTP/1.1\t", b"HTTP/1.10", b"HTTP/11",
            b"HTTP/1", b"HTTP/1.", b"HTTP/",
            b"HTTP/01.1", b"HTTP/1.1x", b"HTTPS/1.1", b"ICE/1.1", b"RTSP/1.0", b"HTTP/1,1", b"HTTP/-1.1",
            b"HTTP /1.1", b"1.1",
            b"HTTP/1.\xd9\xa1", b"\0HTTP/1.1",
        )
    ),
]  # fmt: skip

HEADS = [*CONTENT_LENGTH, *TRANSFER_ENCODING, *LINE_ENDS, *FIELDS, *HOST, *REQUEST_LINES]


def with_chunks(name: str, body: bytes, statuses: set[int] = BAD) -> Refusal:
    """A chunked POST with this raw body."""
    return Refusal(name, b"POST /refused HTTP/1.1\r\nHost: x\r\n" + CHUNKED + b"\r\n\r\n" + body, statuses)


BODIES = [
    *(
        with_chunks(f"chunk size {size!r}", size + b"\r\nabcde\r\n0\r\n\r\n")
        for size in (
            b"0x5", b"-1", b"-5", b"+5", b"5 ", b" 5", b"5\t", b"\t5", b"", b"G", b"5g", b"5.", b"5,", b"0x",
            b"5_0", b"\0005", b"5\0",
            b"00000000000000005", b"10000000000000005", b"ffffffffffffffff5", b"\xd9\xa5", b"5\x0b", b"\x0b5",
            b"5=a", b"5:a", b"5 =a", b"5;", b"5 ;", b"5; ", b"5;a ", b"5;a\t", b"5;a =", b"5;a= ", b"5;a=b ", b"5;a b",
            b"5;a= b c", b"5;;a", b"5; ;a", b'5;a="b" ', b'5;a= "b', b" 5;a", b"5\x0b;a", b"5;\x0ca", b"5;a\xa0=b",
        )
    ),
    with_chunks("bare LF after a size", b"5\nabcde\r\n0\r\n\r\n"),
    with_chunks("bare CR after a size", b"5\rabcde\r\n0\r\n\r\n"),
    with_chunks("CR CR LF after a size", b"5\r\r\nabcde\r\n0\r\n\r\n"),
    with_chunks("chunk longer than its size", b"5\r\nabcdef\r\n0\r\n\r\n"),
    with_chunks("chunk shorter than its size", b"6\r\nabcde\r\n0\r\n\r\n"),
    with_chunks("no CRLF after a chunk", b"5\r\nabcde0\r\n\r\n"),
    with_chunks("bare LF after a chunk", b"5\r\nabcde\n0\r\n\r\n"),
    with_chunks("bare CR after a chunk", b"5\r\nabcde\r0\r\n\r\n"),
    with_chunks("LF CR after a chunk", b"5\r\nabcde\n\r0\r\n\r\n"),
    with_chunks("two other bytes after a chunk", b"5\r\nabcdeXX0\r\n\r\n"),
    with_chunks("extension with a bare LF", b"5;a\nb\r\nabcde\r\n0\r\n\r\n"),
    with_chunks("extension that ends in a bare LF", b"5;a\nabcde\r\n0\r\n\r\n"),
    with_chunks("extension with a bare CR", b"5;a\rb\r\nabcde\r\n0\r\n\r\n"),
    with_chunks("extension with a NUL", b"5;a\0b\r\nabcde\r\n0\r\n\r\n"),
    with_chunks("quoted extension with a bare LF", b'5;a="\n"\r\nabcde\r\n0\r\n\r\n'),
    with_chunks("extension of 200 kB", b"5;" + b"a" * 200_000 + b"\r\nabcde\r\n0\r\n\r\n", {400, 413, 431}),
    with_chunks("bare LF after the last size", b"0\n\r\n"),
    with_chunks("bare LF for the end", b"0\r\n\n"),
    with_chunks("bare CR for the end", b"0\r\n\rX"),
    with_chunks("CR CR LF for the end", b"0\r\n\r\r\n"),
    with_chunks("negative last chunk", b"-0\r\n\r\n"),
    with_chunks("trailer without a colon", b"0\r\nX-A\r\n\r\n"),
    with_chunks("trailer with a bare LF", b"0\r\nX-A: b\nX-C: d\r\n\r\n"),
    with_chunks("trailer with a bare CR", b"0\r\nX-A: b\rc\r\n\r\n"),
    with_chunks("trailer with a NUL", b"0\r\nX-A: b\0\r\n\r\n"),
    with_chunks("trailer with a fold", b"0\r\nX-A: b\r\n c\r\n\r\n"),
    with_chunks("trailer with a space before the colon", b"0\r\nX-A : b\r\n\r\n"),
    with_chunks("trailer with an empty name", b"0\r\n: b\r\n\r\n"),
    with_chunks("trailers of 200 kB", b"0\r\n" + b"X-A: bcdefgh\r\n" * 15_000 + b"\r\n", {400, 413, 431}),
]  # fmt: skip

# Where RFC 9112 leaves it to the server whether to refuse, or with which status.
LEFT_OPEN = [
    b"GET /a HTTP/1.1\r\nHost: x\r\nX-A: b\x01c\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: x\r\nX-A: b\x7fc\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: x\r\nX-A: b\x0bc\r\n\r\n",
    b"\r\n\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET ftp://x/a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PROPFIND /a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nExpect: something\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5 ;a\r\nabcde\r\n0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;\r\nabcde\r\n0\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: y\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nConnection: close\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5,5\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nUpgrade: websocket\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nConnection: \x01\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nProxy-Connection: close\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nProxy-Connection: close\r\n\r\n"
    b"GET /b HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nKeep-Alive: x\r\n\r\n",
    b'POST /a HTTP/1.1\r\nHost: x\r\nConnection: "close"\r\n\r\n',
    b"POST /a HTTP/1.1\r\nHost: x\r\nConnection: ,close,\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTE: chunked\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue, x\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nExpect: \r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTrailer: Host\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: x\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n00\r\n\r\n0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n000000\r\n\r\n0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0;\r\n\r\n0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0;a\r\n\r\n0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b;c\r\nabcde\r\n0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;=\r\nabcde\r\n0\r\n\r\n",
    b'POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a="\r\nabcde\r\n0\r\n\r\n',
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;\x01\r\nabcde\r\n0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a b\r\nabcde\r\n0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;\xff\r\nabcde\r\n0\r\n\r\n",
    b"SOURCE /a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"M-SEARCH /a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PURGE /a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"LINK /a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"QUERY /a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"DESCRIBE /a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI /a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"BREW /a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"REPORT /a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"UNSUBSCRIBE /a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET HTTP://x HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET https://x/a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://x:/a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://x:99999/a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: x:99999\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: a,b\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: %zz\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: [v1.x]\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: [::1%25eth0]\r\n\r\n",
    b"OPTIONS http://x HTTP/1.1\r\nHost: x\r\n\r\n",
    b"OPTIONS *?a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET urn:a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /a HTTP/1.0\r\nHost: \r\n\r\n",
    b"GET /a HTTP/1.0\r\nHost: a b\r\n\r\n",
]
