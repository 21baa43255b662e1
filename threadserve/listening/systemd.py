"""What systemd and its likes hand to a service, and what they want to hear: sd_listen_fds(3) and sd_notify(3).

Runs on the server's thread, or the supervisor's. Keeps nothing.
"""

import os
import socket
import time
from contextlib import suppress

FIRST_DESCRIPTOR = 3


def passed_descriptors() -> range:
    """The descriptors of the sockets that this process, and not its parent or child, was started with."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return range(0)
    count = os.environ.get("LISTEN_FDS", "")
    return range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count)) if count.isdecimal() else range(0)


def notify(*states: str) -> None:
    """Tells the service manager, if there is one, how the service is; a manager that is gone is no trouble."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    # An address in the abstract namespace begins with a zero byte, for which the variable has an at sign.
    name = "\0" + address[1:] if address.startswith("@") else address
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        manager.sendto("\n".join(states).encode(), name)


def notify_reloading() -> None:
    """Tells the service manager that the service takes up new code or settings; "READY=1" ends that."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def beat() -> None:
    """Gives the service manager the sign of life that it wants from this process, if it does (WatchdogSec=)."""
    owner = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if os.environ.get("WATCHDOG_USEC") and owner == str(os.getpid()):
        notify("WATCHDOG=1")
