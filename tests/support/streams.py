"""Hypothesis strategies for the bytes of a whole connection: requests that are good, bad, and damaged at random."""

from dataclasses import dataclass

from hypothesis import strategies as st
from support.raw_client import chunked
from support.refusals import BODIES, HEADS, LEFT_OPEN

TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
FRAMING = {"content-length", "transfer-encoding", "host", "connection", "expect", "upgrade", "te", "trailer"}
# What is put in place of, or between, the bytes of a good request: every byte that means something in HTTP/1.1.
DAMAGE = [
    b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b";", b",", b"0", b"5", b"x", b"\x0b", b"\x7f",
    b"\x80", b"\xff", b"#",
    b"?", b"%", b"*", b"/", b"-", b"+", b'"', b"chunked", b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Host: y\r\n",
]  # fmt: skip
# RFC 9112 section 7.1.1, with white space wherever it may stand.
CHUNK_EXTENSIONS = [
    b";a", b" ;a", b"; a", b"\t;\ta", b";a=b", b";a =b", b";a= b", b" \t; a\t=\t b", b" ; a = b ; c ; d=\"e;\tf=\\\"\"",
    b";ab=\"\"", b" ;a ;b ;c=5",
]  # fmt: skip

methods = st.sampled_from(["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH"])
path_text = st.text("abcXYZ0-._~%!$&'()*+,;=:@/", max_size=12)
targets = st.builds(
    lambda path, query: f"/{path}" + (f"?{query}" if query is not None else ""), path_text, st.none() | path_text
)
names = st.text(TOKEN, min_size=1, max_size=12).filter(lambda name: name.lower() not in FRAMING)
values = st.text("".join(map(chr, [9, *range(32, 127), *range(160, 256)])), max_size=20).map(str.strip)
fields = st.lists(st.tuples(names, values), max_size=4)
payloads = st.binary(max_size=60)


@dataclass
class GoodRequest:
    """A request that every server must take; `closes` tells whether the connection ends after it."""

    data: bytes
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    closes: bool


@st.composite
def good_requests(draw: st.DrawFn) -> GoodRequest:
    """A request with any framing."""
    version, method, target = draw(st.sampled_from(["1.1", "1.1", "1.1", "1.0"])), draw(methods), draw(targets)
    headers = [("Host", "example.org"), *draw(fields)]
    connection = draw(st.sampled_from(["", "", "", "close", "keep-alive"]))
    if connection:
        headers.append(("Connection", connection))
    body = raw_body = b""
    framing = draw(st.sampled_from(["none", "length", "chunked"]))
    if framing == "length":
        body = raw_body = draw(payloads)
        headers.append(("Content-Length", str(len(body))))
    elif framing == "chunked" and version == "1.1":
        chunks = draw(st.lists(payloads.filter(bool), max_size=3))
        trailers = draw(st.sampled_from([b"", b"X-Trailer: 1\r\n"]))
        extension = draw(st.just(b"") | st.sampled_from(CHUNK_EXTENSIONS))
        body, raw_body = b"".join(chunks), chunked(*chunks, trailers=trailers, extension=extension)
        headers.append(("Transfer-Encoding", "chunked"))
    lines = [f"{method} {target} HTTP/{version}", *(f"{name}: {value}" for name, value in headers), "", ""]
    closes = connection == "close" or (version == "1.0" and connection != "keep-alive")
    return GoodRequest("\r\n".join(lines).encode("latin-1") + raw_body, method, target, headers, body, closes)


@st.composite
def damaged_requests(draw: st.DrawFn) -> bytes:
    """A good request in which a few bytes are replaced, removed or added."""
    data = draw(good_requests()).data
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(data)))
        removed = draw(st.integers(0, 2))
        data = data[:at] + draw(st.sampled_from(DAMAGE)) + data[at + removed :]
    return data


bad_requests = st.sampled_from([refusal.data for refusal in [*HEADS, *BODIES] if len(refusal.data) < 300])
any_requests = (
    good_requests().map(lambda good: good.data) | damaged_requests() | bad_requests | st.sampled_from(LEFT_OPEN)
)
streams = st.lists(any_requests, min_size=1, max_size=4).map(b"".join)


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """`data` in pieces."""
    places = sorted(draw(st.sets(st.integers(1, max(1, len(data) - 1)), max_size=12)))
    return [data[begin:end] for begin, end in zip([0, *places], [*places, len(data)], strict=True) if begin < end]
