"""What a program does that calls `run` where it is imported, with no `if __name__ == "__main__":` around it.

The module of the application is imported by the server, and may then ask for a server itself: the one that is there.
What says so is kept for each thread that imports. `is_import_running` is asked on the thread that calls `run`.
"""

import logging
import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger("threadserve.error")

_thread = threading.local()


class ImportGuard:
    """An application that is imported, perhaps once per thread, but by one thread at a time. Its owner guards it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._has_told = False

    @contextmanager
    def by_this_thread(self) -> Iterator[None]:
        """The calling thread imports or builds it."""
        _thread.imported = self
        try:
            yield
        finally:
            _thread.imported = None

    def tell(self) -> None:
        """Warns, once, that the application asks for a server."""
        if not self._has_told:
            self._has_told = True
            logger.warning(
                "%s asks for a server while it is imported to be served, which is ignored. Put what runs the server "
                'under if __name__ == "__main__": in its module.',
                self._name,
            )


def is_import_running() -> bool:
    """Whether the calling thread imports an application that is to be served, or the main module for a new process.

    A server that is asked for then would wait for the import, which would wait for that server.
    """
    imported: ImportGuard | None = getattr(_thread, "imported", None)
    if imported is not None:
        imported.tell()
        return True
    # By which multiprocessing itself knows that it executes a program's main module again, in a process it has started.
    return bool(getattr(multiprocessing.current_process(), "_inheriting", False))
