"""The listening Unix socket.

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
# As the system has it.
MAX_LINKS = 40


class UnixListener(socket.socket):
    """A Unix socket that removes its file when it is closed, unless somebody else has put theirs in its place."""

    path: Path
    inode: int

    def remove_file(self) -> None:
        """Remove the file, so that nobody can connect any more. Clients that have connected stay connected."""
        with suppress(OSError):
            if self.path.stat().st_ino == self.inode:
                self.path.unlink()

    def close(self) -> None:
        """Remove the file and close the socket."""
        if self.fileno() >= 0:
            self.remove_file()
        super().close()


def bind_unix(path: str, permissions: str | int | None) -> UnixListener:
    """Bind a socket to a path; it does not listen yet.

    `permissions` are octal digits or a number, or None for those of the socket that is replaced, else 666. What a
    server that is gone has left there is replaced, and a symbolic link is followed. Raises `BindError`.
    """
    found = find_stale_socket(Path(path))
    listener = UnixListener(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        target = resolve_links(Path(path))
        if found is not None:
            target.unlink()
        listener.bind(path if target == Path(path) else str(target))
        # Before it listens nobody can connect, so the permissions come in time.
        target.chmod(choose_permissions(permissions, found))
    except (OSError, ValueError) as error:
        socket.socket.close(listener)
        raise _make_bind_error(path, error) from error
    # Absolute, for the application may change the working directory.
    listener.path = target.absolute()
    listener.inode = listener.path.stat().st_ino
    listener.setblocking(False)
    return listener


def resolve_links(path: Path) -> Path:
    """Return the target of a path if it is a symbolic link's, whether anything is there or not.

    Nothing else about it changes: made absolute it could be longer than a socket's can be. Raises `OSError`.
    """
    for _ in range(MAX_LINKS):
        if not path.is_symlink():
            return path
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def choose_permissions(permissions: str | int | None, found: int | None) -> int:
    """Return the permissions to set, given those of the socket that was there."""
    if isinstance(permissions, str):
        return int(permissions, 8)
    if permissions is not None:
        return permissions
    return DEFAULT_PERMISSIONS if found is None else found


def find_stale_socket(path: Path) -> int | None:
    """Return the permissions of a socket that nobody listens on any more; None where there is no file.

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
    # A backlog that is full is somebody's too.
    if result in (0, errno.EAGAIN, errno.EINPROGRESS):
        raise BindError(f"cannot bind to unix:{path}: address already in use")
    return stat.S_IMODE(mode)


def _make_bind_error(path: str, error: Exception) -> BindError:
    """Return the error for a path that cannot be bound."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return BindError(f"cannot bind to unix:{path}: {reason}")
