"""Listening on a Unix socket.

Runs on the server's thread; the socket belongs to whoever asked for it, and so does its file until it is closed.
"""

import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

from threadserve.errors import BindError

DEFAULT_PERMISSIONS = 0o666
# How many symbolic links may lead to one another, as the system has it.
LINKS = 40


class UnixListener(socket.socket):
    """A Unix socket that takes its file with it, unless somebody else has put theirs in its place."""

    path: Path
    inode: int

    def remove_file(self) -> None:
        """Lets nobody connect from now on; who is connected, or waits to be accepted, stays so."""
        with suppress(OSError):
            if self.path.stat().st_ino == self.inode:
                self.path.unlink()

    def close(self) -> None:
        """Closes the socket; its file goes first."""
        if self.fileno() >= 0:
            self.remove_file()
        super().close()


def bind_unix(path: str, permissions: str | int | None) -> UnixListener:
    """Binds a socket to a path; it does not listen yet.

    `permissions` are octal digits or a number, or None for those of the socket that is replaced, else 666. What a
    server that is gone has left there is replaced, and a symbolic link is followed. Raises `BindError`.
    """
    found = replaceable(Path(path))
    listener = UnixListener(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        target = linked(Path(path))
        if found is not None:
            target.unlink()
        listener.bind(path if target == Path(path) else str(target))
        # Before it listens nobody can connect, so the permissions come in time.
        target.chmod(mode_of(permissions, found))
    except (OSError, ValueError) as error:
        socket.socket.close(listener)
        raise unix_error(path, error) from error
    # Absolute, for the application may change the working directory.
    listener.path = target.absolute()
    listener.inode = listener.path.stat().st_ino
    listener.setblocking(False)
    return listener


def linked(path: Path) -> Path:
    """Where a path leads if it is a symbolic link's, whether anything is there or not.

    Nothing else about it changes: made absolute it could be longer than a socket's can be. Raises `OSError`.
    """
    for _ in range(LINKS):
        if not path.is_symlink():
            return path
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def mode_of(permissions: str | int | None, found: int | None) -> int:
    """The permissions to set, given those of the socket that was there."""
    if isinstance(permissions, str):
        return int(permissions, 8)
    if permissions is not None:
        return permissions
    return DEFAULT_PERMISSIONS if found is None else found


def replaceable(path: Path) -> int | None:
    """The permissions of a socket that nobody listens on any more; None where there is no file.

    Raises `BindError` where somebody listens, or where the file is no socket.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    if not stat.S_ISSOCK(mode):
        raise BindError(f"cannot bind to unix:{path}: there is a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        result = probe.connect_ex(str(path))
    # A queue that is full is somebody's too.
    if result in (0, errno.EAGAIN, errno.EINPROGRESS):
        raise BindError(f"cannot bind to unix:{path}: address already in use")
    return stat.S_IMODE(mode)


def unix_error(path: str, error: Exception) -> BindError:
    """The one line that says why a path cannot be bound."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return BindError(f"cannot bind to unix:{path}: {reason}")
