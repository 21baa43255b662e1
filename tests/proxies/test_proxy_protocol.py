"""The PROXY protocol's two headers as bytes: what they say, where they end, and what is no header."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threadserve.proxies.protocol import ProxiedAddresses, ProxyHeader, ProxyHeaderError, parse_proxy_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
REST = b"GET / HTTP/1.1\r\n\r\n"
FOUR = ProxiedAddresses(("192.0.2.1", 56324), ("198.51.100.7", 443))
SIX = ProxiedAddresses(("2001:db8::1", 1), ("2001:db8::2", 65535))
UNIX = ProxiedAddresses(None, ("/run/web.sock", None))

FOUR_BLOCK = socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.7") + struct.pack("!HH", 56324, 443)
SIX_BLOCK = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::2")
    + struct.pack("!HH", 1, 65535)
)
UNIX_BLOCK = struct.pack("!108s108s", b"/run/client.sock", b"/run/web.sock")
EXTENSIONS = b"\x02\x00\x0bexample.org" + b"\x04\x00\x00"


def version_2(command: int, family: int, block: bytes = b"", *, length: int | None = None) -> bytes:
    """A header of version 2; `command` has the version in its upper half."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(block) if length is None else length) + block


LONGEST = b"PROXY TCP6 " + b" ".join([b"ffff:" * 7 + b"ffff"] * 2) + b" 65535 65535\r\n"

GOOD = [
    (b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", FOUR),
    (b"PROXY TCP6 2001:db8::1 2001:DB8:0::2 1 65535\r\n", SIX),
    (b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", ProxiedAddresses(("0.0.0.0", 0), ("255.255.255.255", 65535))),
    (LONGEST, ProxiedAddresses(*[(":".join(["ffff"] * 8), 65535)] * 2)),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN whatever 1 2 3 4 5\r\n", None),
    (version_2(0x21, 0x11, FOUR_BLOCK), FOUR),
    (version_2(0x21, 0x11, FOUR_BLOCK + EXTENSIONS), FOUR),
    (version_2(0x21, 0x21, SIX_BLOCK), SIX),
    (version_2(0x21, 0x21, SIX_BLOCK + EXTENSIONS), SIX),
    (version_2(0x21, 0x31, UNIX_BLOCK), UNIX),
    (version_2(0x20, 0x00), None),
    (version_2(0x20, 0x11, FOUR_BLOCK), None),
    (version_2(0x20, 0xFF, b"anything"), None),
    (version_2(0x21, 0x00, EXTENSIONS), None),
    (version_2(0x21, 0x12, FOUR_BLOCK), None),
    (version_2(0x21, 0x11, FOUR_BLOCK + b"\x04\xff\xf0" + bytes(0xFFF0)), FOUR),
]

BAD = [
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01\x02\x00",
    b"PROXY\r\n",
    b"PROXY \r\n",
    b"proxy TCP4 192.0.2.1 198.51.100.7 56324 443\r\n",
    b"PROXY TCP5 192.0.2.1 198.51.100.7 56324 443\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443 \r\n",
    b"PROXY TCP4  192.0.2.1 198.51.100.7 56324 443\r\n",
    b"PROXY TCP4 192.0.2.01 198.51.100.7 56324 443\r\n",
    b"PROXY TCP4 192.0.2.256 198.51.100.7 56324 443\r\n",
    b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
    b"PROXY TCP6 192.0.2.1 198.51.100.7 56324 443\r\n",
    b"PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 65536\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.7 056 443\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.7 +56 443\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.7 -1 443\r\n",
    b"PROXY UNKNOWNS\r\n",
    b"PROXY TCP4 \xff.0.2.1 198.51.100.7 56324 443\r\n",
    b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    b"PROXY UNKNOWN " + b"x" * 200,
    version_2(0x11, 0x11, FOUR_BLOCK),
    version_2(0x31, 0x11, FOUR_BLOCK),
    version_2(0x22, 0x11, FOUR_BLOCK),
    version_2(0x21, 0x41, FOUR_BLOCK),
    version_2(0x21, 0x13, FOUR_BLOCK),
    version_2(0x21, 0x11, FOUR_BLOCK[:-1]),
    version_2(0x21, 0x21, FOUR_BLOCK),
    version_2(0x21, 0x31, SIX_BLOCK),
    version_2(0x21, 0x11, FOUR_BLOCK + b"\x04\x00"),
    version_2(0x21, 0x11, FOUR_BLOCK + b"\x04\x00\x05four"),
    SIGNATURE[:-1] + b"\r",
]


@pytest.mark.parametrize(("data", "announced"), GOOD)
def test_a_header_and_where_it_ends(data: bytes, announced: ProxiedAddresses | None) -> None:
    assert parse_proxy_header(data + REST) == ProxyHeader(len(data), announced)
    assert parse_proxy_header(data) == ProxyHeader(len(data), announced)


@pytest.mark.parametrize(("data", "announced"), GOOD)
def test_bytes_are_missing_up_to_the_last(data: bytes, announced: ProxiedAddresses | None) -> None:
    ends = range(len(data)) if len(data) < 300 else [*range(300), len(data) - 1]
    assert [parse_proxy_header(data[:end]) for end in ends] == [None] * len(ends)


def test_the_longest_line() -> None:
    full = b"PROXY UNKNOWN " + b"x" * (107 - 16) + b"\r\n"
    assert parse_proxy_header(full) == ProxyHeader(107, None)


@pytest.mark.parametrize("data", BAD)
def test_no_header_is_one_line_that_says_why(data: bytes) -> None:
    with pytest.raises(ProxyHeaderError) as failure:
        parse_proxy_header(data)
    assert str(failure.value)
    assert str(failure.value).isprintable()


@pytest.mark.parametrize("begin", [b"G", b"PROXYS", b"\r\n\r\n\0\r\nQUIT\r", b"\r\nX"])
def test_what_cannot_become_a_header_is_refused_at_once(begin: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        parse_proxy_header(begin)


@given(st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11"]), st.binary(max_size=150))
def test_any_bytes_are_a_header_or_incomplete_or_refused(begin: bytes, rest: bytes) -> None:
    try:
        header = parse_proxy_header(begin + rest)
    except ProxyHeaderError:
        return
    assert header is None or header.size <= len(begin + rest)
