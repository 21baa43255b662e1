"""What the import system and `threading` do otherwise while there are copies of modules.

Imports are made on every thread, changes by the registry of copies alone, under its lock. It owns the finder and the
functions that it puts in place of two of the standard library's.
"""

import importlib
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from threadserve.instances.asking import Copies, asker, follow
from threadserve.instances.instance import CopyError, SearchedByUs, find_spec, module_lock
from threadserve.instances.stand_in import StandIn, StandInSpec

Has = Callable[[str, ModuleSpec], bool]


class ImportSystem:
    """Has new modules of a project, by `has`, get a stand-in, threads follow who starts them, and copies be reloaded.

    `first` is the instance of who belongs to none.
    """

    def __init__(self, first: Copies, has: Has) -> None:
        self._finder = Finder(StandInLoader(first), has)
        self._changed: list[tuple[Any, str, Any, Any]] = []

    def change(self) -> None:
        """Begins with it."""
        sys.meta_path.insert(0, self._finder)
        start = threading.Thread.start
        reload = importlib.reload

        def start_following(self: threading.Thread) -> None:
            follow(self)
            start(self)

        def reload_copy(module: ModuleType) -> ModuleType:
            # Only what stands in sys.modules can be reloaded, and by one thread at a time.
            name = module.__name__
            stand_in = sys.modules.get(name)
            with module_lock(name):
                return reload(stand_in if type(stand_in) is StandIn else module)

        self._changed = [
            (threading.Thread, "start", start, start_following),
            (importlib, "reload", reload, reload_copy),
        ]
        for owner, name, _, ours in self._changed:
            setattr(owner, name, ours)

    def restore(self) -> None:
        """Ends it, except for what somebody else has wrapped meanwhile."""
        sys.meta_path.remove(self._finder)
        for owner, name, before, ours in self._changed:
            if getattr(owner, name) is ours:
                setattr(owner, name, before)


class Finder(MetaPathFinder, SearchedByUs):
    """Finds, before the other finders, modules that nobody has imported so far."""

    def __init__(self, loader: Loader, has: Has) -> None:
        self._loader = loader
        self._has = has

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """What the other finders find, or for a module of a project what has it loaded with a stand-in.

        None for a module that is reloaded: a copy stays a copy.
        """
        spec = find_spec(name, path) if target is None else None
        return StandInSpec(name, self._loader) if spec is not None and self._has(name, spec) else spec


class StandInLoader(Loader):
    """Loads the copy of whoever imports a module, with a stand-in in its place."""

    def __init__(self, first: Copies) -> None:
        self._first = first

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Returns the stand-in, which is in `sys.modules` already while the copy is executed."""
        stand_in = sys.modules[spec.name] = StandIn(spec.name, self._first)
        try:
            (asker() or self._first).load(spec.name)
        except BaseException as error:
            sys.modules.pop(spec.name, None)
            if isinstance(error, CopyError) and error.__cause__ is not None:
                raise error.__cause__ from None
            raise
        return stand_in

    def exec_module(self, module: ModuleType) -> None:
        """Does nothing more."""
