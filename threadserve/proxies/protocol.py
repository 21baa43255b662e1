"""The PROXY protocol, versions 1 and 2: what a proxy says in front of a connection about the client behind it.

Reads bytes that somebody else has received, by HAProxy's specification "The PROXY protocol, versions 1 & 2"; keeps
nothing and touches no socket. It never guesses: bytes that begin otherwise are an error.
"""

import ipaddress
import re
import struct
from typing import NamedTuple

from threadserve.types import Address, LocalAddress

VERSION_1 = b"PROXY "
VERSION_1_LIMIT = 107
CRLF = b"\r\n"
# RFC-style decimals only: the specification forbids leading zeros.
PORT = re.compile(r"0|[1-9][0-9]{0,4}")
FAMILIES = {"TCP4": ipaddress.IPv4Address, "TCP6": ipaddress.IPv6Address}

VERSION_2 = b"\r\n\r\n\0\r\nQUIT\n"
VERSION_2_HEAD = struct.Struct("!12sBBH")
LOCAL = 0
PROXY = 1
UNSPECIFIED, INET, INET6, UNIX = range(4)
STREAM = 1
DATAGRAM = 2
# The addresses of each family: the source's, the destination's and, except for Unix sockets, both ports.
ADDRESSES = {INET: struct.Struct("!4s4sHH"), INET6: struct.Struct("!16s16sHH"), UNIX: struct.Struct("!108s108s")}
TLV_HEAD = struct.Struct("!BH")


class ProxyHeaderError(Exception):
    """What came is no valid PROXY header; `str()` is one line that says why."""


class Announced(NamedTuple):
    """The addresses that a PROXY header gave, in place of the socket's."""

    client: Address | None
    server: LocalAddress | None


class ProxyHeader(NamedTuple):
    """A whole header: its length in bytes, and the addresses that go before the socket's own, where it has any."""

    size: int
    announced: Announced | None


def parse_proxy_header(data: bytes) -> ProxyHeader | None:
    """The header that `data` begins with, or None while bytes of it are missing. Raises `ProxyHeaderError`."""
    if data.startswith(VERSION_1[: len(data)]):
        return parse_version_1(data)
    if data.startswith(VERSION_2[: len(data)]):
        return parse_version_2(data)
    raise ProxyHeaderError("it does not begin with a PROXY header")


def parse_version_1(data: bytes) -> ProxyHeader | None:
    """Section 2.1: a line of text."""
    end = data.find(CRLF, 0, VERSION_1_LIMIT)
    if end < 0:
        if len(data) >= VERSION_1_LIMIT:
            raise ProxyHeaderError(f"the line is longer than {VERSION_1_LIMIT} bytes")
        return None
    size = end + len(CRLF)
    words = data[:end].decode("ascii", "replace").split(" ")
    if words[1] == "UNKNOWN":
        return ProxyHeader(size, None)
    if len(words) != 6 or words[1] not in FAMILIES:
        raise ProxyHeaderError("the line is not PROXY, TCP4 or TCP6 or UNKNOWN, two addresses and two ports")
    _, family, source, destination, source_port, destination_port = words
    return ProxyHeader(
        size,
        Announced(text_address(family, source, source_port), text_address(family, destination, destination_port)),
    )


def text_address(family: str, host: str, port: str) -> Address:
    """An address of version 1."""
    try:
        address = FAMILIES[family](host)
    except ValueError:
        raise ProxyHeaderError(f"{host!r} is not an address of {family}") from None
    if "%" in host or not PORT.fullmatch(port) or int(port) > 65535:
        raise ProxyHeaderError(f"{host!r} and {port!r} are not an address and a port")
    return str(address), int(port)


def parse_version_2(data: bytes) -> ProxyHeader | None:
    """Section 2.2: a signature, version and command, family and protocol, and the length of what follows."""
    if len(data) < VERSION_2_HEAD.size:
        return None
    _, version_and_command, family_and_protocol, length = VERSION_2_HEAD.unpack_from(data)
    version, command = divmod(version_and_command, 16)
    family, protocol = divmod(family_and_protocol, 16)
    if version != 2 or command > PROXY:
        raise ProxyHeaderError(f"version {version} and command {command} are unknown")
    if command == PROXY and (family > UNIX or protocol > DATAGRAM):
        raise ProxyHeaderError(f"family {family} and protocol {protocol} are unknown")
    size = VERSION_2_HEAD.size + length
    if len(data) < size:
        return None
    if command == LOCAL or family == UNSPECIFIED:
        return ProxyHeader(size, None)
    return ProxyHeader(size, read_block(family, protocol, data[VERSION_2_HEAD.size : size]))


def read_block(family: int, protocol: int, block: bytes) -> Announced | None:
    """The addresses of version 2; those of anything but a stream are none of this connection's."""
    layout = ADDRESSES[family]
    if len(block) < layout.size:
        raise ProxyHeaderError(f"{len(block)} bytes are too few for the addresses")
    check_extensions(block[layout.size :])
    if protocol != STREAM:
        return None
    values = layout.unpack_from(block)
    if family == UNIX:
        path = values[1].partition(b"\0")[0].decode("utf-8", "surrogateescape")
        return Announced(None, (path, None))
    source, destination, source_port, destination_port = values
    return Announced(
        (str(ipaddress.ip_address(source)), source_port), (str(ipaddress.ip_address(destination)), destination_port)
    )


def check_extensions(extensions: bytes) -> None:
    """Type-length-value fields, which are not used, fill the rest of the block exactly."""
    position = 0
    while position < len(extensions):
        after_head = position + TLV_HEAD.size
        if after_head > len(extensions):
            raise ProxyHeaderError("an extension is cut short")
        _, length = TLV_HEAD.unpack_from(extensions, position)
        position = after_head + length
    if position > len(extensions):
        raise ProxyHeaderError("an extension is cut short")
