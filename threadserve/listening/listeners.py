"""The listening sockets that a configuration asks for, of whatever kind.

Runs on the server's thread, or the supervisor's; the sockets belong to whoever asked for them. Nothing here accepts.
"""

import os
import re
import socket
from collections.abc import Sequence
from typing import Protocol

from threadserve.errors import BindError, ConfigError
from threadserve.listening.systemd import get_passed_descriptors
from threadserve.listening.tcp import Listeners, Resolved, SharedListener, bind_all, close_all, resolve_hosts
from threadserve.listening.unix import bind_unix

DEFAULT_PORT = 8000
HOST_AND_PORT = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]*))(?::(?P<port>[0-9]{1,5}))?")


class ListenerSettings(Protocol):
    """The settings that say where to listen."""

    host: str | Sequence[str]
    port: int
    uds: str | None
    fd: int | None
    bind: Sequence[str]
    uds_permissions: str | int | None


def open_listeners(settings: ListenerSettings) -> Listeners:
    """Bind the sockets; none of them listens yet, except those that came from outside.

    Sockets that the service manager has passed go before host and port. Raises `BindError` or `ConfigError`.
    """
    if settings.uds is not None:
        return [bind_unix(settings.uds, settings.uds_permissions)]
    if settings.fd is not None:
        return [open_descriptor(settings.fd, "fd")]
    if settings.bind:
        return bind_addresses(settings.bind, settings.uds_permissions)
    if passed := get_passed_descriptors():
        return [open_descriptor(descriptor, "LISTEN_FDS") for descriptor in passed]
    return bind_all(resolve_hosts(settings.host, settings.port))


def bind_addresses(addresses: Sequence[str], uds_permissions: str | int | None, option: str = "bind") -> Listeners:
    """Bind to each address of an option's list, or to none. Raises `BindError` or `ConfigError`."""
    places = [parse_address(address, option) for address in addresses]
    found = [resolved for place in places if isinstance(place, list) for resolved in place]
    v4_ports = {address[1] for family, address in found if family == socket.AF_INET} - {0}
    listeners: Listeners = []
    try:
        for place in places:
            match place:
                case str():
                    listeners.append(bind_unix(place, uds_permissions))
                case int():
                    listeners.append(open_descriptor(place, option))
                case _:
                    listeners += bind_all(place, v4_ports)
    except (BindError, ConfigError):
        close_all(listeners)
        raise
    return listeners


def parse_address(address: str, option: str = "bind") -> str | int | list[Resolved]:
    """Return the path of a Unix socket, the descriptor, or the addresses of TCP that an option's address means.

    It is written `HOST:PORT`, `HOST`, `:PORT`, `[IPv6]:PORT`, `unix:PATH` or `fd://N`.
    """
    if address.startswith("unix:"):
        return address.removeprefix("unix:").removeprefix("//")
    if address.startswith("fd://"):
        number = address.removeprefix("fd://")
        if not number.isdecimal():
            raise ConfigError(option, f"{address!r} has no number after fd://")
        return int(number)
    match = HOST_AND_PORT.fullmatch(address)
    if not address or match is None:
        raise ConfigError(option, f"{address!r} is not HOST:PORT, [IPv6]:PORT, unix:PATH or fd://N")
    port = int(match["port"] or DEFAULT_PORT)
    if port > 65535:
        raise ConfigError(option, f"{address!r} has a port above 65535")
    return resolve_hosts(match["v6"] or match["host"], port)


def open_descriptor(descriptor: int, option: str) -> socket.socket:
    """Return a listening socket that another process holds open too. Raises `ConfigError` for anything else."""
    try:
        listener = SharedListener(fileno=os.dup(descriptor))
    except OSError as error:
        raise ConfigError(option, f"{descriptor} is not an open socket: {error.strerror}") from error
    if listener.type != socket.SOCK_STREAM:
        listener.close()
        raise ConfigError(option, f"{descriptor} is not a stream socket")
    listener.setblocking(False)
    return listener
