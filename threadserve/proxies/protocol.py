"""The PROXY protocol, versions 1 and 2: a header in front of a connection that tells the client behind a proxy.

Parses received bytes by HAProxy's specification "The PROXY protocol, versions 1 & 2", on whichever thread asks; keeps
nothing and touches no socket. It never guesses: bytes that begin otherwise are an error.
"""

import ipaddress
import re
import struct
from enum import IntEnum
from typing import NamedTuple

from threadserve.types import Address, LocalAddress

VERSION_1_PREFIX = b"PROXY "
MAX_VERSION_1_BYTES = 107
LINE_END = b"\r\n"
# The specification forbids leading zeros.
PORT = re.compile(r"0|[1-9][0-9]{0,4}")
FAMILIES = {"TCP4": ipaddress.IPv4Address, "TCP6": ipaddress.IPv6Address}

VERSION_2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
VERSION_2_HEAD = struct.Struct("!12sBBH")
TLV_HEAD = struct.Struct("!BH")


class ProxyCommand(IntEnum):
    """The commands of version 2: a connection of the proxy's own, such as a health check, or one for a client."""

    LOCAL = 0
    PROXY = 1


class Family(IntEnum):
    """The address families of version 2."""

    UNSPECIFIED = 0
    INET = 1
    INET6 = 2
    UNIX = 3


class Transport(IntEnum):
    """The transport protocols of version 2."""

    UNSPECIFIED = 0
    STREAM = 1
    DATAGRAM = 2


# The addresses of each family: the source's, the destination's and, except for Unix sockets, both ports.
ADDRESS_LAYOUTS = {
    Family.INET: struct.Struct("!4s4sHH"),
    Family.INET6: struct.Struct("!16s16sHH"),
    Family.UNIX: struct.Struct("!108s108s"),
}


class ProxyHeaderError(Exception):
    """Invalid bytes in place of a PROXY header; `str()` is one line that says why."""


class ProxiedAddresses(NamedTuple):
    """The addresses that a PROXY header gave, in place of the socket's."""

    client: Address | None
    server: LocalAddress | None


class ProxyHeader(NamedTuple):
    """A whole header: its length in bytes, and the addresses that go before the socket's own, where it has any."""

    size: int
    addresses: ProxiedAddresses | None


def parse_proxy_header(data: bytes) -> ProxyHeader | None:
    """Return the header that `data` begins with, or None while bytes of it are missing. Raises `ProxyHeaderError`."""
    if data.startswith(VERSION_1_PREFIX[: len(data)]):
        return parse_version_1(data)
    if data.startswith(VERSION_2_SIGNATURE[: len(data)]):
        return parse_version_2(data)
    raise ProxyHeaderError("it does not begin with a PROXY header")


def parse_version_1(data: bytes) -> ProxyHeader | None:
    """Parse a line of text (section 2.1)."""
    end = data.find(LINE_END, 0, MAX_VERSION_1_BYTES)
    if end < 0:
        if len(data) >= MAX_VERSION_1_BYTES:
            raise ProxyHeaderError(f"the line is longer than {MAX_VERSION_1_BYTES} bytes")
        return None
    size = end + len(LINE_END)
    words = data[:end].decode("ascii", "replace").split(" ")
    if words[1] == "UNKNOWN":
        return ProxyHeader(size, None)
    if len(words) != 6 or words[1] not in FAMILIES:
        raise ProxyHeaderError("the line is not PROXY, TCP4 or TCP6 or UNKNOWN, two addresses and two ports")
    _, family, source, destination, source_port, destination_port = words
    return ProxyHeader(
        size,
        ProxiedAddresses(
            parse_text_address(family, source, source_port), parse_text_address(family, destination, destination_port)
        ),
    )


def parse_text_address(family: str, host: str, port: str) -> Address:
    """Return an address of version 1."""
    try:
        address = FAMILIES[family](host)
    except ValueError:
        raise ProxyHeaderError(f"{host!r} is not an address of {family}") from None
    if "%" in host or not PORT.fullmatch(port) or int(port) > 65535:
        raise ProxyHeaderError(f"{host!r} and {port!r} are not an address and a port")
    return str(address), int(port)


def parse_version_2(data: bytes) -> ProxyHeader | None:
    """Parse a signature, version and command, family and protocol, and as many bytes as a length says (section 2.2)."""
    if len(data) < VERSION_2_HEAD.size:
        return None
    _, version_and_command, family_and_protocol, length = VERSION_2_HEAD.unpack_from(data)
    version, command = divmod(version_and_command, 16)
    family, protocol = divmod(family_and_protocol, 16)
    if version != 2 or command > ProxyCommand.PROXY:
        raise ProxyHeaderError(f"version {version} and command {command} are unknown")
    if command == ProxyCommand.PROXY and (family > Family.UNIX or protocol > Transport.DATAGRAM):
        raise ProxyHeaderError(f"family {family} and protocol {protocol} are unknown")
    size = VERSION_2_HEAD.size + length
    if len(data) < size:
        return None
    if command == ProxyCommand.LOCAL or family == Family.UNSPECIFIED:
        return ProxyHeader(size, None)
    return ProxyHeader(size, parse_block(Family(family), protocol, data[VERSION_2_HEAD.size : size]))


def parse_block(family: Family, protocol: int, block: bytes) -> ProxiedAddresses | None:
    """Return the addresses of version 2; those of anything but a stream are not this connection's."""
    layout = ADDRESS_LAYOUTS[family]
    if len(block) < layout.size:
        raise ProxyHeaderError(f"{len(block)} bytes are too few for the addresses")
    check_extensions(block[layout.size :])
    if protocol != Transport.STREAM:
        return None
    values = layout.unpack_from(block)
    if family == Family.UNIX:
        path = values[1].partition(b"\0")[0].decode("utf-8", "surrogateescape")
        return ProxiedAddresses(None, (path, None))
    source, destination, source_port, destination_port = values
    return ProxiedAddresses(
        (str(ipaddress.ip_address(source)), source_port), (str(ipaddress.ip_address(destination)), destination_port)
    )


def check_extensions(extensions: bytes) -> None:
    """Check that the type-length-value fields, which are not used, fill the rest of the block exactly."""
    position = 0
    while position < len(extensions):
        after_head = position + TLV_HEAD.size
        if after_head > len(extensions):
            raise ProxyHeaderError("an extension is cut short")
        _, length = TLV_HEAD.unpack_from(extensions, position)
        position = after_head + length
    if position > len(extensions):
        raise ProxyHeaderError("an extension is cut short")
