"""The patterns of `--reload`: which folders to watch, and for changes of which files.

Belongs to the reloader's main thread. It owns no file and keeps nothing of what it sees. Patterns are matched by
`PurePath.match`, from the right, as with Uvicorn.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from threadserve.config import Config
from threadserve.config.declaring import list_texts

logger = logging.getLogger("threadserve.error")

DEFAULT_INCLUDES = ("*.py",)
DEFAULT_EXCLUDES = (".*", ".py[cod]", ".sw.*", "~*")

# Nobody edits code in these folders, which may contain a hundred thousand files.
SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", ".git", ".hg", ".svn", ".tox", ".nox", ".mypy_cache"})
VIRTUALENV_FILE = "pyvenv.cfg"
MAX_CACHED_PATHS = 100_000


class ReloadPatterns:
    """The files and folders to watch, from the settings `reload_dirs`, `reload_includes` and `reload_excludes`.

    A pattern that is a folder's path, or that folders below the working directory match, stands for these folders: they
    are watched or, with all that is below them, left out. An include that equals a default exclude cancels it, and an
    exclude that equals a default include cancels that. A file whose path ends with an include is watched even if it
    matches an exclude. Folders of version control and virtual environments are left out unless they are named.
    """

    def __init__(self, config: Config) -> None:
        includes, excludes = list_texts(config.reload_includes), list_texts(config.reload_excludes)
        self.includes = [*(each for each in DEFAULT_INCLUDES if each not in excludes), *includes]
        self.excludes = [*(each for each in DEFAULT_EXCLUDES if each not in includes), *excludes]
        self._left_out = {*resolve_folders(excludes), *find_matching_folders(excludes)}
        # `ModificationTimes` asks for the same files again and again.
        self._matches = lru_cache(MAX_CACHED_PATHS)(self._match)
        self.folders = self._find_folders(list_texts(config.reload_dirs), includes)

    def _find_folders(self, named: list[str], includes: list[str]) -> list[Path]:
        """Return the folders to watch, without those below another one; the working directory if none is named."""
        for each in named:
            if not Path(each).is_dir():
                logger.warning("There is no folder %r to watch for changes.", each)
        found = resolve_folders([*named, *includes]) or [Path.cwd()]
        wanted = {
            each
            for each in (*found, *find_matching_folders(includes))
            if self._left_out.isdisjoint((each, *each.parents))
        }
        return sorted(each for each in wanted if wanted.isdisjoint(each.parents))

    def is_watched(self, path: Path) -> bool:
        """Return whether a change of the file at this absolute path matters."""
        return self._matches(str(path)) and not any(
            self._is_skipped(folder) for folder in self._iter_inner_folders(path)
        )

    def files(self) -> Iterator[Path]:
        """Yield each file that matches now, once. Symbolic links to folders are followed."""
        visited: set[tuple[int, int]] = set()
        for top in self.folders:
            for folder, below, names in os.walk(top, followlinks=True):
                # A link may lead back to where the walk has been.
                if (identity := read_inode(folder)) in visited:
                    below.clear()
                    continue
                visited.add(identity)
                below[:] = [name for name in below if not self._is_skipped(Path(folder, name))]
                yield from (Path(folder, name) for name in names if self._matches(f"{folder}{os.sep}{name}"))

    def _match(self, name: str) -> bool:
        path = Path(name)
        matching = [pattern for pattern in self.includes if path.match(pattern)]
        if any(name.endswith(pattern) for pattern in matching):
            return True
        return bool(matching) and not any(path.match(pattern) for pattern in self.excludes)

    def _iter_inner_folders(self, path: Path) -> Iterator[Path]:
        """Yield the folders between a file and the watched folder that contains it."""
        for folder in path.parents:
            if folder in self.folders:
                return
            yield folder

    def _is_skipped(self, folder: Path) -> bool:
        """Return whether a folder inside a watched one is left out."""
        return folder.name in SKIPPED_FOLDERS or folder in self._left_out or (folder / VIRTUALENV_FILE).exists()


def read_inode(folder: str) -> tuple[int, int]:
    """Return a folder's device and inode, which are the same under all of its names; -1 and -1 if it is gone."""
    try:
        status = Path(folder).stat()
    except OSError:
        return -1, -1
    return status.st_dev, status.st_ino


def resolve_folders(paths: Iterable[str]) -> list[Path]:
    """Return the resolved paths of those that are folders."""
    return [Path(path).resolve() for path in paths if Path(path).is_dir()]


def find_matching_folders(patterns: Iterable[str]) -> list[Path]:
    """Return the folders below the working directory that match a pattern, but for `.*`, which is meant for files."""
    here = Path.cwd()
    relative = [pattern for pattern in patterns if pattern != ".*" and not Path(pattern).is_absolute()]
    return [match.resolve() for pattern in relative for match in here.glob(pattern) if match.is_dir()]
