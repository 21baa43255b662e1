"""Ports for servers that have to be told one."""

import errno
import socket
from random import SystemRandom

from loadtests.errors import LoadTestError

# Below those that the system gives to whoever asks for any: they may be given to another before the server starts.
PORTS = range(20_000, 32_768)
TRIES = 100


def free_port() -> int:
    """Return a port of the loopback interface that nobody has now. Raises LoadTestError."""
    for port in SystemRandom().sample(PORTS, TRIES):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise LoadTestError(f"none of {TRIES} ports between {PORTS.start} and {PORTS.stop} is free")
