"""Opening the listening sockets.

Runs on the server's thread; the sockets belong to whoever asked for them. Nothing here accepts.
"""

import errno
import os
import socket
from collections.abc import Collection, Iterable, Sequence

from threadserve.errors import BindError

Listeners = list[socket.socket]
Address = tuple[str, int] | tuple[str, int, int, int]
Resolved = tuple[socket.AddressFamily, Address]

# How often a free port is looked for that is free on every address of a host.
FREE_PORT_TRIES = 10
# The system has no such address, as in containers whose `localhost` has an IPv6 address by name only.
UNAVAILABLE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


class SharedListener(socket.socket):
    """A listener that other processes hold open and accept from too, and that is theirs as well as ours.

    So nobody here changes what it lets through, or empties it before it is closed: the others go on.
    """


def is_shared(listener: socket.socket) -> bool:
    """Whether other processes accept from the same queue."""
    return isinstance(listener, SharedListener)


def bind_all(found: Sequence[Resolved], v4_ports: Collection[int] = ()) -> Listeners:
    """Binds one TCP socket to each of the addresses that `resolve` has found; none of them listens yet.

    With port 0 all of them get the same free port. An address that the system does not have is left out where there is
    another. `v4_ports` are those that other sockets of this server have for IPv4. Raises `BindError`.
    """
    tries = FREE_PORT_TRIES if found[0][1][1] == 0 and len(found) > 1 else 1
    while True:
        tries -= 1
        try:
            return bind_each(found, v4_ports)
        except BindError as error:
            if not tries or errno_of(error) != errno.EADDRINUSE:
                raise


def bind_each(found: Sequence[Resolved], v4_ports: Collection[int]) -> Listeners:
    """Binds a socket to each address that the system has, and all of them to the port of the first.

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
            sockets.append(bind(family, address, v6_only=v6_only))
        except BindError as error:
            if errno_of(error) not in UNAVAILABLE:
                close_all(sockets)
                raise
            unavailable = unavailable or error
    if unavailable and not sockets:
        raise unavailable
    return sockets


def resolve(hosts: str | Sequence[str], port: int) -> list[Resolved]:
    """The addresses of a host's name, or of several, each once. Raises `BindError` when one has none."""
    names = [hosts] if isinstance(hosts, str) else hosts
    return list(dict.fromkeys(resolved for name in names for resolved in look_up(name, port)))


def look_up(host: str, port: int) -> list[Resolved]:
    """The addresses of one name; of an address, in brackets or not, that one; and of nothing, every interface."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        found = socket.getaddrinfo(
            bare or None, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a host name"
        raise BindError(f"cannot bind to host {host!r}: {reason}") from error
    return [(family, address) for family, _, _, _, address in found]  # type: ignore[misc]


def bind(
    family: socket.AddressFamily,
    address: tuple[str | int, ...],
    *,
    v6_only: bool | None = None,
    shared: bool = False,
) -> socket.socket:
    """Binds one socket to one address, which only with `shared` others may have as well. Raises `BindError`.

    `v6_only` keeps IPv4 from a socket for all of IPv6 or lets it in, and None leaves that to the system.
    """
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise bind_error(address, error) from error
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and v6_only is not None:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6_only)
        if shared:
            share_port(listener)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise bind_error(address, error) from error
    listener.setblocking(False)
    return listener


def bind_beside(listener: socket.socket) -> socket.socket:
    """Binds another socket to a shared listener's address; the kernel distributes over those that listen.

    A Unix socket's address cannot be shared: there it is the same queue once more. Raises `BindError`.
    """
    if not has_port(listener):
        return SharedListener(fileno=os.dup(listener.fileno()))
    return bind(listener.family, listener.getsockname(), v6_only=is_v6_only(listener), shared=True)


def listeners_per_loop(listeners: Listeners, loops: int, distribute: str) -> list[Listeners]:
    """The listeners that each loop accepts from by itself; empty where the acceptor is to distribute.

    A single loop always accepts by itself: there is nothing to choose. Raises `BindError`.
    """
    if loops == 1:
        return [listeners]
    if distribute != "kernel":
        return []
    for listener in listeners:
        share_port(listener)
    per_loop = [listeners]
    try:
        for _ in range(loops - 1):
            per_loop.append([])
            for listener in listeners:
                per_loop[-1].append(bind_beside(listener))
    except BindError:
        close_all(sibling for siblings in per_loop[1:] for sibling in siblings)
        raise
    return per_loop


def close_all(sockets: Iterable[socket.socket]) -> None:
    """Closes sockets."""
    for each in sockets:
        each.close()


def share_port(listener: socket.socket) -> None:
    """Lets other sockets of this user have the same port, where the system can do that.

    Best set on sockets that listen already: until then a second server that was started by mistake fails, where it
    would otherwise share the port in silence.
    """
    if hasattr(socket, "SO_REUSEPORT") and has_port(listener):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def has_port(listener: socket.socket) -> bool:
    """Whether this is a TCP socket."""
    return listener.family in (socket.AF_INET, socket.AF_INET6)


def is_v6_only(listener: socket.socket) -> bool:
    """Whether this is a TCP socket that takes no clients of IPv4, whatever address it is bound to."""
    return listener.family == socket.AF_INET6 and bool(listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))


def places_of(listeners: Sequence[socket.socket], scheme: str) -> list[str]:
    """Where clients of these sockets find each of them, with what its address alone would not tell."""
    names = [listener.getsockname() for listener in listeners]
    v4_ports = {name[1] for name, each in zip(names, listeners, strict=True) if each.family == socket.AF_INET}
    return [
        url_of(name, scheme)
        + (" for IPv6 only" if name[:1] == ("::",) and is_v6_only(each) and name[1] not in v4_ports else "")
        for name, each in zip(names, listeners, strict=True)
    ]


def bind_error(address: tuple[str | int, ...] | str, error: OSError) -> BindError:
    """The one line that says why an address cannot be bound."""
    reason = {
        errno.EADDRINUSE: "address already in use",
        errno.EADDRNOTAVAIL: "no interface of this machine has that address",
        errno.EACCES: "permission denied; ports below 1024 need special rights",
    }.get(error.errno or 0, error.strerror or str(error))
    return BindError(f"cannot bind to {url_of(address)}: {reason}")


def errno_of(error: BindError) -> int | None:
    """What the system said."""
    return error.__cause__.errno if isinstance(error.__cause__, OSError) else None


def url_of(address: tuple[str | int, ...] | str, scheme: str = "") -> str:
    """An address as it stands in a URL (RFC 3986 section 3.2.2), with or without the scheme; a path is just named."""
    if isinstance(address, str):
        return f"unix socket {address}"
    host = f"[{address[0]}]" if ":" in str(address[0]) else address[0]
    return f"{scheme}://{host}:{address[1]}" if scheme else f"{host}:{address[1]}"
