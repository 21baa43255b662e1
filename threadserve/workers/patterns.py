"""Which files' changes matter, and where to look for them.

Runs on the reloader's main thread. It owns no file and keeps nothing of what it sees; the meaning of the patterns is
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

INCLUDES = ("*.py",)
EXCLUDES = (".*", ".py[cod]", ".sw.*", "~*")

# Nobody edits code there, and there may be a hundred thousand files of it.
FOREIGN = frozenset({"__pycache__", "node_modules", ".git", ".hg", ".svn", ".tox", ".nox", ".mypy_cache"})
VIRTUALENV = "pyvenv.cfg"
MEMORY = 100_000


class Patterns:
    """What to watch, from the settings `reload_dirs`, `reload_includes` and `reload_excludes`.

    A pattern that is a folder's path, or that folders below the working directory match, stands for these folders too:
    they are watched or, with all that is below them, left out. An include that is a default exclude cancels that one,
    and an exclude that is a default include likewise. A file whose path ends with an include is watched whatever
    excludes it matches. Folders of version control and virtual environments are left out unless they are named.
    """

    def __init__(self, config: Config) -> None:
        includes, excludes = list_texts(config.reload_includes), list_texts(config.reload_excludes)
        self.includes = [*(each for each in INCLUDES if each not in excludes), *includes]
        self.excludes = [*(each for each in EXCLUDES if each not in includes), *excludes]
        self._left_out = {*folders_named(excludes), *folders_matching(excludes)}
        # The same files are asked for again and again.
        self._matches = lru_cache(MEMORY)(self._match)
        self.folders = self._watched(list_texts(config.reload_dirs), includes)

    def _watched(self, named: list[str], includes: list[str]) -> list[Path]:
        """The folders to watch, without those below another; the working directory where none is named."""
        for each in named:
            if not Path(each).is_dir():
                logger.warning("There is no folder %r to watch for changes.", each)
        found = folders_named([*named, *includes]) or [Path.cwd()]
        wanted = {
            each for each in (*found, *folders_matching(includes)) if self._left_out.isdisjoint((each, *each.parents))
        }
        return sorted(each for each in wanted if wanted.isdisjoint(each.parents))

    def wants(self, path: Path) -> bool:
        """Whether the change of a file, given by its absolute path, matters."""
        return self._matches(str(path)) and not any(self._skips(folder) for folder in self._between(path))

    def files(self) -> Iterator[Path]:
        """The files that match now, each once. Symbolic links to folders are followed."""
        visited: set[tuple[int, int]] = set()
        for top in self.folders:
            for folder, below, names in os.walk(top, followlinks=True):
                # A link may lead back to where the walk has been.
                if (identity := identity_of(folder)) in visited:
                    below.clear()
                    continue
                visited.add(identity)
                below[:] = [name for name in below if not self._skips(Path(folder, name))]
                yield from (Path(folder, name) for name in names if self._matches(f"{folder}{os.sep}{name}"))

    def _match(self, name: str) -> bool:
        path = Path(name)
        matching = [pattern for pattern in self.includes if path.match(pattern)]
        if any(name.endswith(pattern) for pattern in matching):
            return True
        return bool(matching) and not any(path.match(pattern) for pattern in self.excludes)

    def _between(self, path: Path) -> Iterator[Path]:
        """The folders from a file up to the one that is watched."""
        for folder in path.parents:
            if folder in self.folders:
                return
            yield folder

    def _skips(self, folder: Path) -> bool:
        """Whether nothing below a folder is watched, although the folder that has it is."""
        return folder.name in FOREIGN or folder in self._left_out or (folder / VIRTUALENV).exists()


def identity_of(folder: str) -> tuple[int, int]:
    """What a folder has in common with itself by another name; nothing that is gone has been visited."""
    try:
        status = Path(folder).stat()
    except OSError:
        return -1, -1
    return status.st_dev, status.st_ino


def folders_named(paths: Iterable[str]) -> list[Path]:
    """Those that are folders, resolved."""
    return [Path(path).resolve() for path in paths if Path(path).is_dir()]


def folders_matching(patterns: Iterable[str]) -> list[Path]:
    """The folders below the working directory that patterns match. Not those of `.*`, which is about files."""
    here = Path.cwd()
    relative = [pattern for pattern in patterns if pattern != ".*" and not Path(pattern).is_absolute()]
    return [match.resolve() for pattern in relative for match in here.glob(pattern) if match.is_dir()]
