"""Watching for changes of the code.

Belongs to the reloader's main thread, except for the thread that `watchfiles` starts. It owns what it has seen of the
watched folders. It never reads a file's content and never restarts anything.
"""

import logging
import stat
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from threadserve.workers.reload_patterns import ReloadPatterns

logger = logging.getLogger("threadserve.error")

# How long watchfiles waits for the first change: what has come since the last call is there already.
TURN_MILLISECONDS = 50

FileStamp = tuple[int, int, int]


class Stop(Protocol):
    """A request to stop waiting."""

    def is_set(self) -> bool:
        """Return whether there is a request to stop."""
        ...

    def wait(self, timeout: float) -> bool:
        """Wait `timeout` seconds at most for a request to stop; return whether there is one."""
        ...


class Watcher(Protocol):
    """Watches the folders of its patterns."""

    name: str

    def wait_for_changes(self) -> set[Path]:
        """Wait a moment for changes, and then until no more come; return the files that have changed.

        A file that was created, deleted or moved has changed as well.
        """
        ...


class WatchFiles:
    """Collects what the system has reported, every `delay` seconds. Needs watchfiles, and obeys its variables.

    Raises `OSError` or `RuntimeError` if the system cannot watch so many folders.
    """

    name = "WatchFiles"

    def __init__(self, patterns: ReloadPatterns, delay: float, stop: Stop) -> None:
        from watchfiles import watch

        self._delay = delay
        self._stop = stop
        self._reports = watch(
            *patterns.folders,
            watch_filter=lambda change, path: patterns.is_watched(Path(path)),
            stop_event=stop,
            rust_timeout=TURN_MILLISECONDS,
            yield_on_timeout=True,
            raise_interrupt=False,
            ignore_permission_denied=True,
        )
        # The generator begins to watch at its first step.
        next(self._reports, None)

    def wait_for_changes(self) -> set[Path]:
        """Implement `Watcher.wait_for_changes`."""
        if self._stop.wait(self._delay):
            return set()
        return {Path(path) for _, path in next(self._reports, ())}


class ModificationTimes:
    """Compares the files' modification times every `delay` seconds. Used where watchfiles is not installed."""

    name = "modification times"

    def __init__(self, patterns: ReloadPatterns, delay: float, stop: Stop) -> None:
        self._patterns = patterns
        self._delay = delay
        self._stop = stop
        self._seen = self._scan()

    def wait_for_changes(self) -> set[Path]:
        """Implement `Watcher.wait_for_changes`."""
        changed: set[Path] = set()
        while not self._stop.wait(self._delay):
            seen, self._seen = self._seen, self._scan()
            more = {path for path, _ in seen.items() ^ self._seen.items()}
            changed |= more
            if not more:
                break
        return changed

    def _scan(self) -> dict[Path, FileStamp]:
        return {path: stamp for path in self._patterns.files() if (stamp := read_stamp(path)) is not None}


def read_stamp(path: Path) -> FileStamp | None:
    """Return what tells one state of a file from another, or None if there is no such regular file."""
    try:
        status = path.stat()
    except OSError:
        return None
    # An editor may replace the file by another one with an older time.
    return (status.st_mtime_ns, status.st_size, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def make_watcher(patterns: ReloadPatterns, delay: float, stop: Stop) -> Watcher:
    """Return the better of the watchers that work here. `delay` is in seconds; `stop` ends its waiting."""
    if find_spec("watchfiles"):
        try:
            return WatchFiles(patterns, delay, stop)
        except (OSError, RuntimeError) as error:
            logger.warning("watchfiles cannot watch these directories: %s", error)
    return ModificationTimes(patterns, delay, stop)
