"""What the import system, `threading` and executors do otherwise while there are copies of modules.

Imports are made on every thread, changes by the registry of copies alone, under its lock. It owns the finder and the
functions that it puts in place of some of the standard library's.

A stand-in is all that the import system itself loads. The copy of whoever imports is loaded when that has ended: the
import system's lock for a module is one for all instances, and those that import modules at the same time which import
each other would wait for each other.
"""

import contextlib
import importlib
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import _bootstrap
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from threadserve.instances.current_instance import Copies, asker, follow, lent_to
from threadserve.instances.instance import Instance, SearchedByUs, search
from threadserve.instances.module_proxy import StandIn, StandInSpec

Has = Callable[[str, ModuleSpec], bool]
# Where the frames are that stand between an import and the code of the module.
LOADING = (str(Path(__file__).parent), importlib.__file__, "<frozen importlib", contextlib.__file__)


class ImportSystem:
    """Has new modules of a project, by `has`, get a stand-in, threads follow who starts them, and copies be reloaded.

    `first` is the instance of who belongs to none.
    """

    def __init__(self, first: Instance, has: Has) -> None:
        self._first = first
        self._finder = Finder(first, has)
        self._changed: list[tuple[Any, str, Any, Any]] = []

    def change(self) -> None:
        """Begins with it."""
        sys.meta_path.insert(0, self._finder)
        self._put(_bootstrap, "_find_and_load", self._finding_and_loading)
        self._put(_bootstrap, "_lock_unlock_module", self._waiting)
        self._put(importlib, "reload", reloading)
        self._put(threading.Thread, "start", starting)
        self._put(ThreadPoolExecutor, "submit", submitting)

    def _put(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Puts what `make` makes of a function in its place."""
        before = getattr(owner, name)
        ours = make(before)
        self._changed.append((owner, name, before, ours))
        setattr(owner, name, ours)

    def restore(self) -> None:
        """Ends it, except for what somebody else has wrapped meanwhile."""
        sys.meta_path.remove(self._finder)
        for owner, name, before, ours in self._changed:
            if getattr(owner, name) is ours:
                setattr(owner, name, before)
        self._changed.clear()

    def _finding_and_loading(self, before: Callable[..., ModuleType]) -> Callable[..., ModuleType]:
        """What imports a module that is not in `sys.modules`, and whatever `importlib` is asked for."""

        def find_and_load(name: str, import_: Any) -> ModuleType:
            copies: Any = asker(0) or self._first
            package = name.rpartition(".")[0]
            if package and (package not in sys.modules or type(sys.modules[package]) is StandIn):
                # Or it would be executed under the lock for the module.
                find_and_load_as(copies, package, import_)
            return find_and_load_as(copies, name, import_)

        def find_and_load_as(copies: Any, name: str, import_: Any) -> ModuleType:
            if name not in sys.modules:
                with _bootstrap._ModuleLockManager(name):  # type: ignore[attr-defined]
                    # Nor has another thread imported it meanwhile.
                    if name not in sys.modules:
                        copies.forget(name)
            module = before(name, import_)
            if type(module) is StandIn:
                load_for(copies, name)
            return module

        return find_and_load

    def _waiting(self, before: Callable[[str], None]) -> Callable[[str], None]:
        """What waits for a module that is in `sys.modules` and says that it is being imported."""

        def lock_unlock_module(name: str) -> None:
            module = sys.modules.get(name)
            # Where somebody else's import has failed meanwhile, this one is to fail as well.
            if type(module) is StandIn or (module is None and name in self._finder.found):
                load_for(asker(0) or self._first, name)
            else:
                before(name)

        return lock_unlock_module


def load_for(copies: Copies, name: str) -> None:
    """Loads a copy. What is raised has no frames of what loads, as the import system leaves out its own."""
    try:
        copies.imported(name)
    except BaseException as error:
        error.__traceback__ = without_loading(error.__traceback__)
        raise


def without_loading(traceback: TracebackType | None) -> TracebackType | None:
    """The frames of a traceback that are not those of imports."""
    if traceback is None:
        return None
    rest = without_loading(traceback.tb_next)
    if traceback.tb_frame.f_code.co_filename.startswith(LOADING):
        return rest
    return TracebackType(rest, traceback.tb_frame, traceback.tb_lasti, traceback.tb_lineno)


def reloading(before: Callable[[ModuleType], ModuleType]) -> Callable[[ModuleType], ModuleType]:
    """What reloads a module: it must be what stands in `sys.modules`, and on one thread at a time."""

    def reload(module: ModuleType) -> ModuleType:
        name = module.__name__
        stand_in = sys.modules.get(name)
        with _bootstrap._ModuleLockManager(name):  # type: ignore[attr-defined]
            return before(stand_in if type(stand_in) is StandIn else module)

    return reload


def starting(before: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    """What starts a thread."""

    def start(self: threading.Thread) -> None:
        follow(self, asker(0))
        before(self)

    return start


def submitting(before: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
    """What gives a call to an executor, whose threads were perhaps started by another instance."""

    def submit(self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        copies = asker(0)
        if copies is None:
            return before(self, fn, *args, **kwargs)
        return before(self, call_as, copies, fn, *args, **kwargs)

    return submit


def call_as(copies: Copies, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Makes a call on behalf of an instance."""
    with lent_to(copies):
        return fn(*args, **kwargs)


class Finder(SearchedByUs):
    """Finds, before the other finders, modules that nobody has imported so far. `found` are those of a project."""

    def __init__(self, first: Copies, has: Has) -> None:
        self.found: set[str] = set()
        self._first = first
        self._has = has

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """What the other finders find, or for a module of a project what has it loaded with a stand-in.

        None for a module that is reloaded: a copy stays a copy.
        """
        spec = search(name, path) if target is None else None
        if spec is None or not self._has(name, spec):
            return spec
        self.found.add(name)
        return StandInSpec(spec, StandInLoader(spec.loader, self._first))


class StandInLoader:
    """Loads a stand-in, and answers what the module's own loader is asked for: its source, its files."""

    def __init__(self, loader: Any, first: Copies) -> None:
        self._loader = loader
        self._first = first

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Returns the stand-in."""
        assert isinstance(spec, StandInSpec)
        return StandIn(spec, self._first)

    def exec_module(self, module: ModuleType) -> None:
        """Does nothing: a copy is executed for whoever imports the module."""

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._loader, attribute)
