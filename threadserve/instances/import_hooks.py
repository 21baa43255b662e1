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

from threadserve.instances.current_instance import ModuleCopies, find_calling_instance, inherit_instance, use_in_thread
from threadserve.instances.instance import Instance, ServerFinder, search_path
from threadserve.instances.module_proxy import ModuleProxy, ModuleProxySpec

IsProjectModule = Callable[[str, ModuleSpec], bool]
# Where the frames are that stand between an import and the code of the module.
IMPORT_PATHS = (str(Path(__file__).parent), importlib.__file__, "<frozen importlib", contextlib.__file__)


class ImportHooks:
    """Has new modules of a project, by `has`, get a stand-in, threads follow who starts them, and copies be reloaded.

    `first` is the instance of who belongs to none.
    """

    def __init__(self, first: Instance, has: IsProjectModule) -> None:
        self._first = first
        self._finder = ProjectFinder(first, has)
        self._changed: list[tuple[Any, str, Any, Any]] = []

    def change(self) -> None:
        """Begins with it."""
        sys.meta_path.insert(0, self._finder)
        self._put(_bootstrap, "_find_and_load", self._finding_and_loading)
        self._put(_bootstrap, "_lock_unlock_module", self._waiting)
        self._put(importlib, "reload", make_reload)
        self._put(threading.Thread, "start", make_thread_start)
        self._put(ThreadPoolExecutor, "submit", make_submit)

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
            copies: Any = find_calling_instance(0) or self._first
            package = name.rpartition(".")[0]
            if package and (package not in sys.modules or type(sys.modules[package]) is ModuleProxy):
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
            if type(module) is ModuleProxy:
                load_copy(copies, name)
            return module

        return find_and_load

    def _waiting(self, before: Callable[[str], None]) -> Callable[[str], None]:
        """What waits for a module that is in `sys.modules` and says that it is being imported."""

        def lock_unlock_module(name: str) -> None:
            module = sys.modules.get(name)
            # Where somebody else's import has failed meanwhile, this one is to fail as well.
            if type(module) is ModuleProxy or (module is None and name in self._finder.found):
                load_copy(find_calling_instance(0) or self._first, name)
            else:
                before(name)

        return lock_unlock_module


def load_copy(copies: ModuleCopies, name: str) -> None:
    """Loads a copy. What is raised has no frames of what loads, as the import system leaves out its own."""
    try:
        copies.imported(name)
    except BaseException as error:
        error.__traceback__ = strip_import_frames(error.__traceback__)
        raise


def strip_import_frames(traceback: TracebackType | None) -> TracebackType | None:
    """The frames of a traceback that are not those of imports."""
    if traceback is None:
        return None
    rest = strip_import_frames(traceback.tb_next)
    if traceback.tb_frame.f_code.co_filename.startswith(IMPORT_PATHS):
        return rest
    return TracebackType(rest, traceback.tb_frame, traceback.tb_lasti, traceback.tb_lineno)


def make_reload(before: Callable[[ModuleType], ModuleType]) -> Callable[[ModuleType], ModuleType]:
    """What reloads a module: it must be what stands in `sys.modules`, and on one thread at a time."""

    def reload(module: ModuleType) -> ModuleType:
        name = module.__name__
        stand_in = sys.modules.get(name)
        with _bootstrap._ModuleLockManager(name):  # type: ignore[attr-defined]
            return before(stand_in if type(stand_in) is ModuleProxy else module)

    return reload


def make_thread_start(before: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    """What starts a thread."""

    def start(self: threading.Thread) -> None:
        inherit_instance(self, find_calling_instance(0))
        before(self)

    return start


def make_submit(before: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
    """What gives a call to an executor, whose threads were perhaps started by another instance."""

    def submit(self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        copies = find_calling_instance(0)
        if copies is None:
            return before(self, fn, *args, **kwargs)
        return before(self, call_as_instance, copies, fn, *args, **kwargs)

    return submit


def call_as_instance(copies: ModuleCopies, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Makes a call on behalf of an instance."""
    with use_in_thread(copies):
        return fn(*args, **kwargs)


class ProjectFinder(ServerFinder):
    """Finds, before the other finders, modules that nobody has imported so far. `found` are those of a project."""

    def __init__(self, first: ModuleCopies, has: IsProjectModule) -> None:
        self.found: set[str] = set()
        self._first = first
        self._has = has

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """What the other finders find, or for a module of a project what has it loaded with a stand-in.

        None for a module that is reloaded: a copy stays a copy.
        """
        spec = search_path(name, path) if target is None else None
        if spec is None or not self._has(name, spec):
            return spec
        self.found.add(name)
        return ModuleProxySpec(spec, ModuleProxyLoader(spec.loader, self._first))


class ModuleProxyLoader:
    """Loads a stand-in, and answers what the module's own loader is asked for: its source, its files."""

    def __init__(self, loader: Any, first: ModuleCopies) -> None:
        self._loader = loader
        self._first = first

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Returns the stand-in."""
        assert isinstance(spec, ModuleProxySpec)
        return ModuleProxy(spec, self._first)

    def exec_module(self, module: ModuleType) -> None:
        """Does nothing: a copy is executed for whoever imports the module."""

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._loader, attribute)
