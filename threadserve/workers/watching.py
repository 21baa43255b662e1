"""Noticing that the code has changed.

Runs on the reloader's main thread and on no other, but for the thread that `watchfiles` keeps. It owns what it has seen
of the watched folders; it never reads a file's content and never restarts anything.
"""

import logging
import stat
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from threadserve.workers.patterns import Patterns

logger = logging.getLogger("threadserve.error")

# How long watchfiles waits for the first change, in milliseconds: what has come in the meantime is there already.
TURN = 50

Stamp = tuple[int, int, int]


class Stop(Protocol):
    """Whether to wait no longer."""

    def is_set(self) -> bool:
        """Whether that has been asked for."""
        ...

    def wait(self, timeout: float) -> bool:
        """Waits for that, `timeout` seconds at most; returns whether it has been asked for."""
        ...


class Watcher(Protocol):
    """Looks for changes below the folders that its patterns have."""

    name: str

    def changes(self) -> set[Path]:
        """Waits a moment for changes, and then until no more come; returns the files that are concerned.

        A file that was created, deleted or moved has changed as well.
        """
        ...


class WatchFiles:
    """Takes, every `delay` seconds, what the system has reported. Needs watchfiles, whose variables it obeys.

    Raises `OSError` or `RuntimeError` where the system cannot watch so many folders.
    """

    name = "WatchFiles"

    def __init__(self, patterns: Patterns, delay: float, stop: Stop) -> None:
        from watchfiles import watch

        self._delay = delay
        self._stop = stop
        self._reports = watch(
            *patterns.folders,
            watch_filter=lambda change, path: patterns.wants(Path(path)),
            stop_event=stop,
            rust_timeout=TURN,
            yield_on_timeout=True,
            raise_interrupt=False,
            ignore_permission_denied=True,
        )
        # Only now does it begin.
        next(self._reports, None)

    def changes(self) -> set[Path]:
        """See `Watcher.changes`."""
        if self._stop.wait(self._delay):
            return set()
        return {Path(path) for _, path in next(self._reports, ())}


class ModificationTimes:
    """Looks at all files every `delay` seconds: for where there is no watchfiles."""

    name = "modification times"

    def __init__(self, patterns: Patterns, delay: float, stop: Stop) -> None:
        self._patterns = patterns
        self._delay = delay
        self._stop = stop
        self._seen = self._look()

    def changes(self) -> set[Path]:
        """See `Watcher.changes`."""
        changed: set[Path] = set()
        while not self._stop.wait(self._delay):
            seen, self._seen = self._seen, self._look()
            more = {path for path, _ in seen.items() ^ self._seen.items()}
            changed |= more
            if not more:
                break
        return changed

    def _look(self) -> dict[Path, Stamp]:
        return {path: stamp for path in self._patterns.files() if (stamp := stamp_of(path)) is not None}


def stamp_of(path: Path) -> Stamp | None:
    """What changes with a file, or None where there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return None
    # An editor may give the new content another file's place, older than what was there.
    return (status.st_mtime_ns, status.st_size, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def make_watcher(patterns: Patterns, delay: float, stop: Stop) -> Watcher:
    """The better watcher of those that work here. `delay` is in seconds, and `stop` ends its waiting."""
    if find_spec("watchfiles"):
        try:
            return WatchFiles(patterns, delay, stop)
        except (OSError, RuntimeError) as error:
            logger.warning("watchfiles cannot watch these directories: %s", error)
    return ModificationTimes(patterns, delay, stop)
