"""The listening sockets of TCP.

Runs on the server's thread; the sockets belong to whoever asked for them. Nothing here accepts.
"""

import errno
import os
import socket
from collections.abc import Collection, Iterable, Sequence

from threadserve.errors import BindError

Listeners = list[socket.socket]
Resolved = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]

# To find a port that is free on every address of a host.
FREE_PORT_TRIES = 10
# The system has no such address, as in containers whose `localhost` has an IPv6 address by name only.
UNAVAILABLE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


class SharedListener(socket.socket):
    """A listener from whose backlog other processes accept too.

    So it gets no filter, and its backlog is not emptied before it is closed: the others go on.
    """


def is_shared(listener: socket.socket) -> bool:
    """Return whether other processes accept from the same backlog."""
    return isinstance(listener, SharedListener)


def bind_all(found: Sequence[Resolved], v4_ports: Collection[int] = ()) -> Listeners:
    """Bind one socket to each of the addresses that `resolve_hosts` has found; none of them listens yet.

    With port 0 all of them get the same free port. An address that the system does not have is left out where there is
    another. `v4_ports` are those that other sockets of this server have for IPv4. Raises `BindError`.
    """
    tries = FREE_PORT_TRIES if found[0][1][1] == 0 and len(found) > 1 else 1
    while True:
        tries -= 1
        try:
            return _bind_each(found, v4_ports)
        except BindError as error:
            if not tries or _get_errno(error) != errno.EADDRINUSE:
                raise


def _bind_each(found: Sequence[Resolved], v4_ports: Collection[int]) -> Listeners:
    """Bind a socket to each address that the system has, and all of them to the port of the first.

    The address for all of IPv6 takes that for all of IPv4 too, unless the system's default is another, or this server
    listens on the port with IPv4 as well: then one would keep the other from it.
    """
    sockets: Listeners = []
    unavailable: BindError | None = None
    has_v4 = any(family == socket.AF_INET for family, _ in found)
    for family, address in found:
        if sockets:
            address = (address[0], sockets[0].getsockname()[1], *address[2:])
        v6_only = True if has_v4 or address[1] in v4_ports else None
        try:
            sockets.append(bind_tcp(family, address, v6_only=v6_only))
        except BindError as error:
            if _get_errno(error) not in UNAVAILABLE:
                close_all(sockets)
                raise
            unavailable = unavailable or error
    if unavailable and not sockets:
        raise unavailable
    return sockets


def resolve_hosts(hosts: str | Sequence[str], port: int) -> list[Resolved]:
    """Return the addresses of a host's name, or of several, each once. Raises `BindError` when one has none."""
    names = [hosts] if isinstance(hosts, str) else hosts
    return list(dict.fromkeys(resolved for name in names for resolved in _resolve_host(name, port)))


def _resolve_host(host: str, port: int) -> list[Resolved]:
    """Return the addresses of a name; of an address, in brackets or not, that one; and of "", every interface."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        found = socket.getaddrinfo(
            bare or None, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a host name"
        raise BindError(f"cannot bind to host {host!r}: {reason}") from error
    return [(family, address) for family, _, _, _, address in found]  # type: ignore[misc]


def bind_tcp(
    family: socket.AddressFamily,
    address: tuple[str | int, ...],
    *,
    v6_only: bool | None = None,
    shared: bool = False,
) -> socket.socket:
    """Bind one socket to one address, which only with `shared` others may have as well. Raises `BindError`.

    `v6_only` says whether a socket for all of IPv6 refuses IPv4; None leaves that to the system.
    """
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise make_bind_error(address, error) from error
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and v6_only is not None:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6_only)
        if shared:
            enable_port_sharing(listener)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise make_bind_error(address, error) from error
    listener.setblocking(False)
    return listener


def bind_sibling(listener: socket.socket) -> socket.socket:
    """Bind another socket to a shared listener's address; the kernel distributes over those that listen.

    A Unix socket's address cannot be shared: there it is the same backlog once more. Raises `BindError`.
    """
    if not is_tcp(listener):
        return SharedListener(fileno=os.dup(listener.fileno()))
    return bind_tcp(listener.family, listener.getsockname(), v6_only=is_v6_only(listener), shared=True)


def open_loop_listeners(listeners: Listeners, loops: int, distribute: str) -> list[Listeners]:
    """Return the listeners that each loop accepts from by itself, or nothing where the acceptor is to distribute.

    A single loop always accepts by itself: there is nothing to choose. Raises `BindError`.
    """
    if loops == 1:
        return [listeners]
    if distribute != "kernel":
        return []
    for listener in listeners:
        enable_port_sharing(listener)
    per_loop = [listeners]
    try:
        for _ in range(loops - 1):
            per_loop.append([])
            for listener in listeners:
                per_loop[-1].append(bind_sibling(listener))
    except BindError:
        close_all(sibling for siblings in per_loop[1:] for sibling in siblings)
        raise
    return per_loop


def close_all(sockets: Iterable[socket.socket]) -> None:
    """Close sockets."""
    for each in sockets:
        each.close()


def enable_port_sharing(listener: socket.socket) -> None:
    """Allow other sockets of this user the same port (SO_REUSEPORT), where the system can do that.

    Best set on sockets that listen already: until then a second server that was started by mistake fails, where it
    would otherwise share the port in silence.
    """
    if hasattr(socket, "SO_REUSEPORT") and is_tcp(listener):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def is_tcp(listener: socket.socket) -> bool:
    """Return whether this is a TCP socket."""
    return listener.family in (socket.AF_INET, socket.AF_INET6)


def is_v6_only(listener: socket.socket) -> bool:
    """Return whether this is a TCP socket that takes no clients of IPv4, whatever address it is bound to."""
    return listener.family == socket.AF_INET6 and bool(listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))


def format_urls(listeners: Sequence[socket.socket], scheme: str) -> list[str]:
    """Return the URLs of these sockets, each with what its address alone would not tell."""
    names = [listener.getsockname() for listener in listeners]
    v4_ports = {name[1] for name, each in zip(names, listeners, strict=True) if each.family == socket.AF_INET}
    return [
        format_url(name, scheme)
        + (" for IPv6 only" if name[:1] == ("::",) and is_v6_only(each) and name[1] not in v4_ports else "")
        for name, each in zip(names, listeners, strict=True)
    ]


def make_bind_error(address: tuple[str | int, ...] | str, error: OSError) -> BindError:
    """Return the error for an address that cannot be bound."""
    reason = {
        errno.EADDRINUSE: "address already in use",
        errno.EADDRNOTAVAIL: "no interface of this machine has that address",
        errno.EACCES: "permission denied; ports below 1024 need special rights",
    }.get(error.errno or 0, error.strerror or str(error))
    return BindError(f"cannot bind to {format_url(address)}: {reason}")


def _get_errno(error: BindError) -> int | None:
    """Return the system's number of an error."""
    return error.__cause__.errno if isinstance(error.__cause__, OSError) else None


def format_url(address: tuple[str | int, ...] | str, scheme: str = "") -> str:
    """Return an address as it stands in a URL (RFC 3986 section 3.2.2), with or without the scheme; a path is named."""
    if isinstance(address, str):
        return f"unix socket {address}"
    host = f"[{address[0]}]" if ":" in str(address[0]) else address[0]
    return f"{scheme}://{host}:{address[1]}" if scheme else f"{host}:{address[1]}"
