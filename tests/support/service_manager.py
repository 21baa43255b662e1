"""What systemd does for a service: it passes sockets, and listens to how the service is."""

import queue
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from support.waiting import DEADLINE

# Puts its own id where systemd would, and becomes the server: what a shell's `exec` is for.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-m", "threadserve", *sys.argv[2:]])
"""


def activated(listener: socket.socket, app: str, *options: str) -> list[str]:
    """The command of a server that is given this socket as systemd gives it; its descriptor has to be passed on."""
    return [sys.executable, "-c", ACTIVATE, str(listener.fileno()), app, *options]


class Notifications:
    """What services tell, at an address in the abstract namespace, which `variables` tell them.

    It is read as it comes, by a thread of its own: what finds the socket full is lost.
    """

    def __init__(self, bound: socket.socket) -> None:
        self.address = bound.getsockname()
        self.variables = {"NOTIFY_SOCKET": f"@{self.address[1:].decode()}"}
        self.told: queue.SimpleQueue[str] = queue.SimpleQueue()

    def wait_for(self, state: str) -> list[str]:
        """Waits until this is told; returns what was told before. Raises `queue.Empty` when nothing more comes."""
        before: list[str] = []
        while (told := self.told.get(timeout=3 * DEADLINE)) != state:
            before.append(told)
        return before


def read_all(bound: socket.socket, told: "queue.SimpleQueue[str]") -> None:
    """Takes what comes, until it is nothing."""
    while message := bound.recv(1000):
        told.put(message.decode())


@contextmanager
def notifications() -> Iterator[Notifications]:
    """Listens to services."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        # The system chooses the address.
        bound.bind("")
        listening = Notifications(bound)
        reader = threading.Thread(target=read_all, args=(bound, listening.told))
        reader.start()
        try:
            yield listening
        finally:
            bound.sendto(b"", listening.address)
            reader.join(DEADLINE)
