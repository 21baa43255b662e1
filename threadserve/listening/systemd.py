"""The protocol of systemd for services: passed sockets, sd_listen_fds(3), and notifications, sd_notify(3).

Runs on the server's thread, or the supervisor's. Keeps nothing.
"""

import os
import socket
import time
from contextlib import suppress

FIRST_DESCRIPTOR = 3


def get_passed_descriptors() -> range:
    """Return the descriptors of the sockets that this process, and not its parent or child, was started with."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return range(0)
    count = os.environ.get("LISTEN_FDS", "")
    return range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count)) if count.isdecimal() else range(0)


def notify(*states: str) -> None:
    """Send the service's state to the service manager, if there is one; errors are ignored."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    # An address in the abstract namespace begins with a zero byte, for which the variable has an at sign.
    name = "\0" + address[1:] if address.startswith("@") else address
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        manager.sendto("\n".join(states).encode(), name)


def notify_reloading() -> None:
    """Tell the service manager that the service reloads; "READY=1" ends that."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def notify_watchdog() -> None:
    """Send the heartbeat that the service manager wants from this process, if it does (WatchdogSec=)."""
    owner = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if os.environ.get("WATCHDOG_USEC") and owner == str(os.getpid()):
        notify("WATCHDOG=1")
