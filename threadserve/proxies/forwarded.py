"""The origin of a request that comes through proxies: X-Forwarded-* and `Forwarded` (RFC 7239).

Runs on the connection's loop thread; each loop has a `TrustedHosts` of its own, and nothing else is kept. It never
looks at a peer's socket: the caller has checked that the peer is trusted.

A client can write any of these fields, and a proxy that does not know one passes it on. What keeps a client from
forging its address:

- Proxies append. So a list is read from its right end, and the first address that is no trusted proxy's is the client,
  whatever stands to the left of it. Of a field that is no list of hops, the last value counts.
- `Forwarded` counts only in a request without X-Forwarded-For: most proxies write X-Forwarded-For and pass on a
  `Forwarded` that they do not know.
- Only `DEFAULT_FIELDS` count unless others are named. X-Forwarded-Host, -Port and -Prefix are not among them, because
  many proxies that write X-Forwarded-For leave these as the client sent them.

A client behind a proxy that writes `Forwarded` alone, and lets X-Forwarded-* pass, can still forge them: trust only
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

FORWARDED_FIELDS = frozenset(
    {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
    }
)
DEFAULT_FIELDS = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-proto"})

LOOPBACK = "127.0.0.1,::1"
ANY_UNIX_SOCKET = "unix:"
CACHE_SIZE = 1024
MAX_CACHED_LENGTH = 64
HTTP_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
PORTS_BY_SCHEME = {"http": 80, "https": 443}

_port = re.compile(r"[0-9]{1,5}")
_bracketed = re.compile(r"\[([^\]]*+)\](?::(.*))?")
_authority = re.compile(r"([A-Za-z0-9\-._~]++|\[[0-9A-Fa-f:.]++\])(?::([0-9]{1,5}))?")
_prefix = re.compile(r"(?=/)(?:/(?:[A-Za-z0-9\-._~!$&'()*+;=:@]|%[0-9A-Fa-f]{2})++)*+/?")
# Values without quotes may have more than a token's characters (RFC 7239 section 4): many proxies write addresses so.
_pair = re.compile(r'([!#$%&\'*+\-.^_`|~0-9A-Za-z]++)=([^\s",;\\]++|"(?:[^"\\]|\\.)*+")')
_element = re.compile(rf"(?:{_pair.pattern})?+(?:[\t ]*+;[\t ]*+(?:{_pair.pattern})?+)*+")
_marks = re.compile(r'(?<!\\)(\\*+)"|,')
_escape = re.compile(r"\\(.)")
# A proxy that has no address: a Unix socket, or an identifier for the header (RFC 7239 section 6.3).
_socket_or_identifier = re.compile(r"unix:.*|[/.@\0].*|.*\.sock(?:et)?|_[A-Za-z0-9._\-]+", re.DOTALL)
_obfuscated_port = re.compile(r":_[A-Za-z0-9._\-]++$")


class TrustedHosts:
    """The proxies whose header fields are trusted. Belongs to one loop's thread.

    `allowed` names them, in a list or with commas between: addresses, networks, paths of Unix sockets (with or without
    "unix:" before them), "unix:" for every Unix socket, any other text for what a proxy calls another in its header,
    and "*" for everybody; None stands for $FORWARDED_ALLOW_IPS, or else this machine's loopback addresses. Raises
    `ValueError` for an invalid network.
    """

    def __init__(self, allowed: str | Sequence[str] | None) -> None:
        if allowed is None:
            allowed = os.environ.get("FORWARDED_ALLOW_IPS", LOOPBACK)
        names = split_names(allowed)
        self.trusts_all = "*" in names
        self._addresses: set[IPv4Address | IPv6Address] = set()
        self._networks: list[IPv4Network | IPv6Network] = []
        self._literals: set[str] = set()
        # Clients come again, and parsing an address takes longer than all the rest.
        self._is_trusted = lru_cache(CACHE_SIZE)(self._look_up)
        for name in filter(None, names):
            self._add(name)

    def _add(self, name: str) -> None:
        address = _parse_address(name.partition("/")[0])
        if address is None:
            self._literals.add(name.removeprefix(ANY_UNIX_SOCKET) or name)
        elif "/" in name:
            self._networks.append(_parse_network(name))
        else:
            self._addresses.add(address)

    def trusts(self, host: str | None) -> bool:
        """Return whether a proxy is trusted; `host` is an address, a Unix socket's path, or a name from a header."""
        if self.trusts_all:
            return True
        if not host:
            return False
        return self._is_trusted(host) if len(host) <= MAX_CACHED_LENGTH else self._look_up(host)

    def trusts_peer(self, client: Address | None, server: LocalAddress | None) -> bool:
        """Return whether the peer of a connection is trusted; that of a Unix socket is known by the server's path."""
        if client is None and server is not None and server[1] is None:
            return self.trusts(server[0])
        return self.trusts(client[0] if client else None)

    def _look_up(self, host: str) -> bool:
        if host in self._literals:
            return True
        address = _parse_address(host)
        if address is None:
            return ANY_UNIX_SOCKET in self._literals and host.startswith(("/", "\0"))
        if address in self._addresses or any(address in network for network in self._networks):
            return True
        # A client of IPv4 on a socket for both families.
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return mapped is not None and self._look_up(str(mapped))


def find_invalid_proxy(allowed: str | Sequence[str]) -> str | None:
    """Return the first of these names, as `TrustedHosts` takes them, that cannot be a peer's.

    The name of a host cannot: its addresses are not looked up.
    """
    for name in filter(None, split_names(allowed)):
        if name != "*" and _parse_address(name.partition("/")[0]) is None and not _socket_or_identifier.fullmatch(name):
            return name
    return None


def split_names(allowed: str | Sequence[str]) -> list[str]:
    """Return the names in a list, or with commas between."""
    return [name.strip() for name in (allowed.split(",") if isinstance(allowed, str) else allowed)]


class Forwarded(NamedTuple):
    """The facts that trusted proxies tell of a request; None for those that they do not tell."""

    client: Address | None
    scheme: str | None = None
    host: str | None = None
    port: int | None = None
    prefix: str | None = None

    def apply(self, scope: Scope) -> None:
        """Put these facts into the scope of a request or of a WebSocket (ASGI HTTP spec 2.5).

        `prefix` takes the place of the scope's root path, which is the same for every request.
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
        usual = PORTS_BY_SCHEME.get(scope["scheme"].replace("ws", "http"))
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


def parse_scheme(text: str) -> str | None:
    """Return the scheme in a text, in any case (RFC 3986 section 3.1), or None; that of WebSockets is HTTP's."""
    return HTTP_SCHEMES.get(text.lower())


def parse_port(text: str) -> int | None:
    """Return the port in a text, or None."""
    return int(text) if _port.fullmatch(text) and int(text) < 65536 else None


def parse_host(text: str) -> str | None:
    """Return a text that is a host with or without a port, or None."""
    match = _authority.fullmatch(text)
    return text if match and int(match[2] or 0) < 65536 else None


def parse_prefix(text: str) -> str | None:
    """Return a path prefix without the slash at its end, or None if the text is none."""
    return text.rstrip("/") if _prefix.fullmatch(text) else None


# The parts of `Forwarded` that fields without a list of hops give, and the parsers of their values.
FIELD_PARSERS: dict[bytes, tuple[str, Callable[[str], str | int | None]]] = {
    b"x-forwarded-proto": ("scheme", parse_scheme),
    b"x-forwarded-host": ("host", parse_host),
    b"x-forwarded-port": ("port", parse_port),
    b"x-forwarded-prefix": ("prefix", parse_prefix),
}


def parse_field_names(names: str | Sequence[str]) -> frozenset[bytes]:
    """Return the names of fields, from a list or with commas between, in lower case. Raises `ValueError` for others."""
    fields = {name.lower().encode("ascii", "replace"): name for name in split_names(names) if name}
    for field in fields.keys() - FORWARDED_FIELDS:
        known = ", ".join(sorted(field.decode() for field in FORWARDED_FIELDS))
        raise ValueError(f"{fields[field]!r} is not one of {known}")
    return frozenset(fields)


def read_forwarded(
    fields: Headers, trusted: TrustedHosts, trusted_fields: frozenset[bytes] = DEFAULT_FIELDS
) -> Forwarded | None:
    """Return what those fields of a request from a trusted peer say whose names are in `trusted_fields`.

    None where they say nothing. Field names are in lower case.
    """
    said: dict[bytes, str] = {}
    for name, value in fields:
        if name in trusted_fields:
            text = value.decode("latin-1")
            said[name] = f"{said[name]},{text}" if name in said else text
    if not said:
        return None
    if b"x-forwarded-for" in said:
        found: dict[str, Any] = {"client": find_client(said[b"x-forwarded-for"], trusted)}
    else:
        found = read_standard_field(said.get(b"forwarded", ""), trusted)
    for name in said.keys() & FIELD_PARSERS.keys():
        part, read = FIELD_PARSERS[name]
        found[part] = read(said[name].rpartition(",")[2].strip()) or found.get(part)
    return Forwarded(**found) if any(found.values()) else None


def find_client(value: str, trusted: TrustedHosts) -> Address | None:
    """Return the client that X-Forwarded-For names, or None where nothing stands in its place."""
    hops = value.split(",")
    client = ("", 0)
    for hop in hops[:1] if trusted.trusts_all else reversed(hops):
        client = split_host_and_port(hop.strip())
        if not trusted.trusts(client[0]):
            break
    return client if client[0] else None


def split_host_and_port(hop: str) -> Address:
    """Return the host and port of an address, in brackets or not; anything else is taken for a name, with port 0."""
    if hop.startswith("["):
        bracketed = _bracketed.fullmatch(hop)
        return (bracketed[1], parse_port(bracketed[2] or "") or 0) if bracketed else (hop, 0)
    host, colon, port_text = hop.partition(":")
    port = parse_port(port_text)
    return (host, port) if colon and port is not None else (hop, 0)


def read_standard_field(value: str, trusted: TrustedHosts) -> dict[str, Any]:
    """Return client, scheme and host from the element of `Forwarded` that the first of the trusted proxies wrote.

    See RFC 7239 section 4.
    """
    found: dict[str, Any] = {}
    for element in iterate_from_right(value):
        pairs = parse_pairs(element)
        if pairs is None:
            break
        client = split_host_and_port(_obfuscated_port.sub("", pairs.get("for", "")))
        scheme = parse_scheme(pairs.get("proto", ""))
        found = {"client": client if client[0] else None, "scheme": scheme, "host": parse_host(pairs.get("host", ""))}
        if not trusted.trusts(client[0]):
            break
    return {"client": None, **found}


def iterate_from_right(value: str) -> Iterator[str]:
    """Yield the elements of a list, the last one first.

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


def parse_pairs(element: str) -> dict[str, str] | None:
    """Return the parameters of an element by their names in lower case, or None where it is malformed."""
    if not _element.fullmatch(element):
        return None
    pairs = [(name.lower(), text) for name, text in _pair.findall(element)]
    values = {name: _escape.sub(r"\1", text[1:-1]) if text[0] == '"' else text for name, text in pairs}
    return values if len(values) == len(pairs) else None


def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _parse_network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no network: {error}") from error
