"""Opening the listening sockets.

Runs on the main thread, before any loop thread starts; the sockets belong to whoever asked for them.
"""

import errno
import os
import socket

from threadserve.errors import BindError

Listeners = list[socket.socket]


def bind_all(host: str, port: int) -> Listeners:
    """Binds one TCP socket for each address that `host` stands for; none of them listens yet.

    With port 0 all of them get the same free port. Raises `BindError`.
    """
    sockets: Listeners = []
    try:
        for family, address in resolve(host, port):
            if sockets and port == 0:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            sockets.append(bind(family, address))
    except BindError:
        for bound in sockets:
            bound.close()
        raise
    return sockets


def resolve(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]]:
    """The addresses of a host name, each once. Raises `BindError` when it has none."""
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a host name"
        raise BindError(f"cannot bind to host {host!r}: {reason}") from error
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))  # type: ignore[misc]


def bind(family: socket.AddressFamily, address: tuple[str | int, ...]) -> socket.socket:
    """Binds one socket to one address, with SO_REUSEPORT for the sockets that are to share it later.

    The option is set only after the bind: a bind without it fails when another server holds the port, where with it
    two servers started by mistake would share the port in silence. Raises `BindError`.
    """
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        share_port(listener)
    except OSError as error:
        listener.close()
        raise bind_error(address, error) from error
    listener.setblocking(False)
    return listener


def bind_beside(listener: socket.socket) -> socket.socket:
    """Binds another socket to a listener's address, which the kernel then shares out between them."""
    sibling = socket.socket(listener.family, socket.SOCK_STREAM)
    try:
        share_port(sibling)
        sibling.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family == socket.AF_INET6:
            sibling.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sibling.bind(listener.getsockname())
    except OSError as error:
        sibling.close()
        raise bind_error(listener.getsockname(), error) from error
    sibling.setblocking(False)
    return sibling


def listeners_per_loop(listeners: Listeners, loops: int, distribute: str) -> list[Listeners]:
    """The listeners that each loop accepts from by itself; empty where the acceptor is to distribute.

    A single loop always accepts by itself: there is nothing to choose.
    """
    if loops == 1:
        return [listeners]
    if distribute != "kernel":
        return []
    for listener in listeners:
        share_port(listener)
    return [listeners, *([bind_beside(listener) for listener in listeners] for _ in range(loops - 1))]


def share_port(listener: socket.socket) -> None:
    """Sets SO_REUSEPORT where the system has it."""
    if hasattr(socket, "SO_REUSEPORT"):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def bind_error(address: tuple[str | int, ...], error: OSError) -> BindError:
    """The one line that says why an address cannot be bound."""
    reason = {
        errno.EADDRINUSE: "address already in use",
        errno.EADDRNOTAVAIL: "no interface of this machine has that address",
        errno.EACCES: "permission denied; ports below 1024 need special rights",
    }.get(error.errno or 0, error.strerror or str(error))
    return BindError(f"cannot bind to {url_of(address)}: {reason}")


def url_of(address: tuple[str | int, ...], scheme: str = "") -> str:
    """An address as it stands in a URL (RFC 3986 section 3.2.2), with or without the scheme."""
    host = f"[{address[0]}]" if ":" in str(address[0]) else address[0]
    return f"{scheme}://{host}:{address[1]}" if scheme else f"{host}:{address[1]}"
