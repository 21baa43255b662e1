"""Where a request comes from when proxies stand before the server: X-Forwarded-* and `Forwarded` (RFC 7239).

Runs on the connection's loop thread, for which each loop has a `TrustedHosts` of its own; keeps nothing else. It never
looks at a peer's socket: whoever calls has asked first whether the peer is trusted.

A client can write any of these fields, and a proxy that does not know one passes it on. What keeps a client from
forging its address:

- Proxies append. So a list is read from its right end, and the first address that is no trusted proxy's is the client,
  whatever stands to the left of it. Of a field that is no list of hops, the last value counts.
- `Forwarded` counts only in a request without X-Forwarded-For: most proxies write X-Forwarded-For and pass on a
  `Forwarded` that they do not know.
- Only `BELIEVED` fields count unless others are named. X-Forwarded-Host, -Port and -Prefix are not among them, because
  many proxies that write X-Forwarded-For leave these as the client sent them.

A client behind a proxy that writes `Forwarded` alone, and lets X-Forwarded-* pass, can still forge them: believe only
`Forwarded` there. And where everybody is trusted ("*"), the leftmost address counts, which the client writes.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple
from urllib.parse import unquote

from threadserve.types import Address, Headers, LocalAddress, Scope

FIELDS = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
    }
)
BELIEVED = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-proto"})

LOOPBACK = "127.0.0.1,::1"
ANY_UNIX_SOCKET = "unix:"
MEMORY = 1024
LONGEST_ADDRESS = 64
SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
DEFAULT_PORTS = {"http": 80, "https": 443}

_port = re.compile(r"[0-9]{1,5}")
_bracketed = re.compile(r"\[([^\]]*+)\](?::(.*))?")
_authority = re.compile(r"([A-Za-z0-9\-._~]++|\[[0-9A-Fa-f:.]++\])(?::([0-9]{1,5}))?")
_prefix = re.compile(r"(?=/)(?:/(?:[A-Za-z0-9\-._~!$&'()*+;=:@]|%[0-9A-Fa-f]{2})++)*+/?")
# Values without quotes may have more than a token's characters (RFC 7239 section 4): many proxies write addresses so.
_pair = re.compile(r'([!#$%&\'*+\-.^_`|~0-9A-Za-z]++)=([^\s",;\\]++|"(?:[^"\\]|\\.)*+")')
_element = re.compile(rf"(?:{_pair.pattern})?+(?:[\t ]*+;[\t ]*+(?:{_pair.pattern})?+)*+")
_marks = re.compile(r'(?<!\\)(\\*+)"|,')
_escape = re.compile(r"\\(.)")
# What no address is and yet may be a proxy: a Unix socket, or an identifier for the header (RFC 7239 section 6.3).
_socket_or_identifier = re.compile(r"unix:.*|[/.@\0].*|.*\.sock(?:et)?|_[A-Za-z0-9._\-]+", re.DOTALL)
_obfuscated_port = re.compile(r":_[A-Za-z0-9._\-]++$")


class TrustedHosts:
    """Which hosts are proxies whose word is believed. May be asked on any thread; each loop has its own to itself.

    `allowed` names them, in a list or with commas between: addresses, networks, paths of Unix sockets (with or without
    "unix:" before them), "unix:" for every Unix socket, any other text for what a proxy calls another in its header,
    and "*" for everybody; None stands for $FORWARDED_ALLOW_IPS, or else this machine's loopback addresses. Raises
    `ValueError` for a network that is none.
    """

    def __init__(self, allowed: str | Sequence[str] | None) -> None:
        if allowed is None:
            allowed = os.environ.get("FORWARDED_ALLOW_IPS", LOOPBACK)
        names = names_in(allowed)
        self.trusts_all = "*" in names
        self._addresses: set[IPv4Address | IPv6Address] = set()
        self._networks: list[IPv4Network | IPv6Network] = []
        self._literals: set[str] = set()
        # Clients come again, and telling an address from a name takes longer than all the rest.
        self._is_known = lru_cache(MEMORY)(self._look_up)
        for name in filter(None, names):
            self._add(name)

    def _add(self, name: str) -> None:
        address = _address(name.partition("/")[0])
        if address is None:
            self._literals.add(name.removeprefix(ANY_UNIX_SOCKET) or name)
        elif "/" in name:
            self._networks.append(_network(name))
        else:
            self._addresses.add(address)

    def trusts(self, host: str | None) -> bool:
        """Whether this is a trusted proxy; `host` is an address, the path of a Unix socket, or a name from a header."""
        if self.trusts_all:
            return True
        if not host:
            return False
        return self._is_known(host) if len(host) <= LONGEST_ADDRESS else self._look_up(host)

    def trusts_peer(self, client: Address | None, server: LocalAddress | None) -> bool:
        """Whether the other end of a connection is one; that of a Unix socket is known by the server's path."""
        if client is None and server is not None and server[1] is None:
            return self.trusts(server[0])
        return self.trusts(client[0] if client else None)

    def _look_up(self, host: str) -> bool:
        if host in self._literals:
            return True
        address = _address(host)
        if address is None:
            return ANY_UNIX_SOCKET in self._literals and host.startswith(("/", "\0"))
        if address in self._addresses or any(address in network for network in self._networks):
            return True
        # A client of IPv4 on a socket for both families.
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return mapped is not None and self._look_up(str(mapped))


def unknown_proxy(allowed: str | Sequence[str]) -> str | None:
    """The first of these names, as `TrustedHosts` takes them, that can be no proxy's at the other end of a connection.

    A host's name is one: nobody looks up its addresses.
    """
    for name in filter(None, names_in(allowed)):
        if name != "*" and _address(name.partition("/")[0]) is None and not _socket_or_identifier.fullmatch(name):
            return name
    return None


def names_in(allowed: str | Sequence[str]) -> list[str]:
    """The names in a list, or with commas between."""
    return [name.strip() for name in (allowed.split(",") if isinstance(allowed, str) else allowed)]


class Forwarded(NamedTuple):
    """What trusted proxies say of a request. None is what they do not say."""

    client: Address | None
    scheme: str | None = None
    host: str | None = None
    port: int | None = None
    prefix: str | None = None

    def apply(self, scope: Scope) -> None:
        """Has the scope of a request or of a WebSocket say what the first proxy saw, as ASGI HTTP spec 2.5 puts it.

        `prefix` takes the place of the scope's root path, which tells the same of every request.
        """
        if self.client is not None:
            scope["client"] = self.client
        if self.scheme is not None:
            scope["scheme"] = self.scheme.replace("http", "ws") if scope["type"] == "websocket" else self.scheme
        if self.host is not None or self.port is not None:
            self._apply_host(scope)
        if self.prefix is not None:
            self._apply_prefix(scope, self.prefix)

    def _apply_host(self, scope: Scope) -> None:
        others = [field for field in scope["headers"] if field[0] != b"host"]
        own = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        match = _authority.fullmatch(self.host or own)
        if match is None:
            return
        name = match[1]
        usual = DEFAULT_PORTS.get(scope["scheme"].replace("ws", "http"))
        port = self.port or int(match[2] or 0) or usual
        scope["server"] = (name.strip("[]"), port)
        authority = name if port == usual else f"{name}:{port}"
        scope["headers"] = [(b"host", authority.encode()), *others]

    def _apply_prefix(self, scope: Scope, prefix: str) -> None:
        old, new = scope["root_path"], unquote(prefix)
        scope["root_path"] = new
        scope["path"] = new + scope["path"].removeprefix(old)
        if scope.get("raw_path") is not None:
            scope["raw_path"] = prefix.encode() + scope["raw_path"].removeprefix(old.encode())


def scheme_of(text: str) -> str | None:
    """The scheme that a text is, in any case (RFC 3986 section 3.1), if it is one; that of WebSockets is HTTP's."""
    return SCHEMES.get(text.lower())


def port_number(text: str) -> int | None:
    """The port that a text is, if it is one."""
    return int(text) if _port.fullmatch(text) and int(text) < 65536 else None


def host_of(text: str) -> str | None:
    """A host with or without a port, if the text is one."""
    match = _authority.fullmatch(text)
    return text if match and int(match[2] or 0) < 65536 else None


def prefix_of(text: str) -> str | None:
    """A path to put before others, without the slash at its end, if the text is one."""
    return text.rstrip("/") if _prefix.fullmatch(text) else None


# What the fields besides those that list hops are about, and how their values are read.
READERS: dict[bytes, tuple[str, Callable[[str], str | int | None]]] = {
    b"x-forwarded-proto": ("scheme", scheme_of),
    b"x-forwarded-host": ("host", host_of),
    b"x-forwarded-port": ("port", port_number),
    b"x-forwarded-prefix": ("prefix", prefix_of),
}


def believed_fields(names: str | Sequence[str]) -> frozenset[bytes]:
    """The fields with these names, in a list or with commas between, in any case. Raises `ValueError` for others."""
    fields = {name.lower().encode("ascii", "replace"): name for name in names_in(names) if name}
    for field in fields.keys() - FIELDS:
        known = ", ".join(sorted(field.decode() for field in FIELDS))
        raise ValueError(f"{fields[field]!r} is not one of {known}")
    return frozenset(fields)


def read_forwarded(fields: Headers, trusted: TrustedHosts, believed: frozenset[bytes] = BELIEVED) -> Forwarded | None:
    """What the header fields of a request from a trusted peer say, as far as their names are `believed`.

    Returns None where they say nothing. Field names are in lower case.
    """
    said: dict[bytes, str] = {}
    for name, value in fields:
        if name in believed:
            text = value.decode("latin-1")
            said[name] = f"{said[name]},{text}" if name in said else text
    if not said:
        return None
    if b"x-forwarded-for" in said:
        found: dict[str, Any] = {"client": client_of(said[b"x-forwarded-for"], trusted)}
    else:
        found = from_standard_field(said.get(b"forwarded", ""), trusted)
    for name in said.keys() & READERS.keys():
        part, read = READERS[name]
        found[part] = read(said[name].rpartition(",")[2].strip()) or found.get(part)
    return Forwarded(**found) if any(found.values()) else None


def client_of(value: str, trusted: TrustedHosts) -> Address | None:
    """The client that X-Forwarded-For names, or None where nothing stands in its place."""
    hops = value.split(",")
    client = ("", 0)
    for hop in hops[:1] if trusted.trusts_all else reversed(hops):
        client = host_and_port(hop.strip())
        if not trusted.trusts(client[0]):
            break
    return client if client[0] else None


def host_and_port(hop: str) -> Address:
    """An address with or without a port, and in brackets or not; anything else is taken for a name, with port 0."""
    if hop.startswith("["):
        bracketed = _bracketed.fullmatch(hop)
        return (bracketed[1], port_number(bracketed[2] or "") or 0) if bracketed else (hop, 0)
    host, colon, port_text = hop.partition(":")
    port = port_number(port_text)
    return (host, port) if colon and port is not None else (hop, 0)


def from_standard_field(value: str, trusted: TrustedHosts) -> dict[str, Any]:
    """Client, scheme and host from the element of `Forwarded` that the first of the trusted proxies wrote.

    See RFC 7239 section 4.
    """
    found: dict[str, Any] = {}
    for element in elements_from_right(value):
        pairs = pairs_of(element)
        if pairs is None:
            break
        client = host_and_port(_obfuscated_port.sub("", pairs.get("for", "")))
        scheme = scheme_of(pairs.get("proto", ""))
        found = {"client": client if client[0] else None, "scheme": scheme, "host": host_of(pairs.get("host", ""))}
        if not trusted.trusts(client[0]):
            break
    return {"client": None, **found}


def elements_from_right(value: str) -> Iterator[str]:
    """The elements of a list, the last one first.

    From that end a quotation mark that the client left open cannot swallow what a proxy wrote behind it.
    """
    end, is_quoted = len(value), False
    for mark in reversed(list(_marks.finditer(value))):
        if mark[0] == ",":
            if not is_quoted:
                yield value[mark.end() : end].strip()
                end = mark.start()
        elif not is_quoted:
            is_quoted = True
        elif len(mark[1]) % 2 == 0:
            is_quoted = False
    yield value[:end].strip()


def pairs_of(element: str) -> dict[str, str] | None:
    """The parameters of an element by their names in lower case, or None where it is malformed."""
    if not _element.fullmatch(element):
        return None
    pairs = [(name.lower(), text) for name, text in _pair.findall(element)]
    values = {name: _escape.sub(r"\1", text[1:-1]) if text[0] == '"' else text for name, text in pairs}
    return values if len(values) == len(pairs) else None


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no network: {error}") from error
