"""A guard against programs that call `run` while they are imported, outside `if __name__ == "__main__":`.

The server imports the application's module, which may then ask for a server itself; the server is already there. The
guard is kept for each importing thread; `is_import_running` is called on the thread that calls `run`.
"""

import logging
import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger("threadserve.error")

_thread = threading.local()


class ImportGuard:
    """An application that is being imported, by one thread at a time. `AppLoader` owns and locks it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_reported = False

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Mark the calling thread as importing or building the application."""
        _thread.guard = self
        try:
            yield
        finally:
            _thread.guard = None

    def warn_once(self) -> None:
        """Log a warning, once, that the application asks for a server."""
        if not self._is_reported:
            self._is_reported = True
            logger.warning(
                "%s asks for a server while it is imported to be served, which is ignored. Put what runs the server "
                'under if __name__ == "__main__": in its module.',
                self._name,
            )


def is_import_running() -> bool:
    """Return whether the calling thread imports an application to serve, or the main module of a new process.

    A server started now would wait for the import, and the import for that server.
    """
    guard: ImportGuard | None = getattr(_thread, "guard", None)
    if guard is not None:
        guard.warn_once()
        return True
    # The mark of multiprocessing while it executes the program's main module again in a process that it started.
    return bool(getattr(multiprocessing.current_process(), "_inheriting", False))
