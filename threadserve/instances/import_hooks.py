"""Replacements for functions of the import system, `threading` and executors while there are copies of modules.

Imports happen on every thread; the registry alone installs the hooks, under its lock. This module owns the finder and
the replacements.

The import system itself only loads a proxy. The copy for the importing instance is loaded after that: the import
system's lock for a module is shared by all instances, so threads that import modules which import each other would wait
for each other.
"""

import contextlib
import importlib
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import _bootstrap
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, ParamSpec, TypeVar

from threadserve.instances.current_instance import (
    ProjectInstance,
    find_calling_instance,
    inherit_instance,
    use_in_thread,
)
from threadserve.instances.instance import Instance, ServerFinder, search_path
from threadserve.instances.module_proxy import ModuleProxy, ModuleProxySpec

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
IsProjectModule = Callable[[str, ModuleSpec], bool]
# The files of the frames between an import and the code of the module.
IMPORT_PATHS = (str(Path(__file__).parent), importlib.__file__, "<frozen importlib", contextlib.__file__)


class ImportHooks:
    """Patches by which imports of project modules load proxies, and threads inherit their starter's instance.

    `first` is the instance of code that belongs to none.
    """

    def __init__(self, first: Instance, is_project_module: IsProjectModule) -> None:
        self._first = first
        self._finder = ProjectFinder(first, is_project_module)
        self._patched: list[tuple[object, str, object, object]] = []

    def install(self) -> None:
        """Put the hooks in place."""
        sys.meta_path.insert(0, self._finder)
        self._patch(_bootstrap, "_find_and_load", self._make_find_and_load)
        self._patch(_bootstrap, "_lock_unlock_module", self._make_lock_unlock_module)
        self._patch(importlib, "reload", make_reload)
        self._patch(threading.Thread, "start", make_thread_start)
        self._patch(ThreadPoolExecutor, "submit", make_submit)

    def _patch(self, owner: object, name: str, make: Callable[[Any], object]) -> None:
        """Replace a function by what `make` makes of it."""
        before = getattr(owner, name)
        ours = make(before)
        self._patched.append((owner, name, before, ours))
        setattr(owner, name, ours)

    def uninstall(self) -> None:
        """Restore the functions, except those that other code has wrapped meanwhile."""
        sys.meta_path.remove(self._finder)
        for owner, name, before, ours in self._patched:
            if getattr(owner, name) is ours:
                setattr(owner, name, before)
        self._patched.clear()

    def _make_find_and_load(self, before: Callable[..., ModuleType]) -> Callable[..., ModuleType]:
        """Return the function that imports modules not in `sys.modules`, and everything that `importlib` imports."""

        def find_and_load(name: str, import_: object) -> ModuleType:
            instance = find_calling_instance(0) or self._first
            package = name.rpartition(".")[0]
            if package and (package not in sys.modules or type(sys.modules[package]) is ModuleProxy):
                # First, because otherwise the package would be executed under the module's lock.
                find_and_load_as(instance, package, import_)
            return find_and_load_as(instance, name, import_)

        def find_and_load_as(instance: ProjectInstance, name: str, import_: object) -> ModuleType:
            if name not in sys.modules:
                with _bootstrap._ModuleLockManager(name):  # type: ignore[attr-defined]
                    # Checked again under the lock: another thread may have imported it meanwhile.
                    if name not in sys.modules:
                        instance.forget_copy(name)
            module = before(name, import_)
            if type(module) is ModuleProxy:
                load_copy(instance, name)
            return module

        return find_and_load

    def _make_lock_unlock_module(self, before: Callable[[str], None]) -> Callable[[str], None]:
        """Return the function that waits for a module in `sys.modules` that is still being imported."""

        def lock_unlock_module(name: str) -> None:
            module = sys.modules.get(name)
            # If another import has failed meanwhile, this one must fail as well.
            if type(module) is ModuleProxy or (module is None and name in self._finder.found):
                load_copy(find_calling_instance(0) or self._first, name)
            else:
                before(name)

        return lock_unlock_module


def load_copy(instance: ProjectInstance, name: str) -> None:
    """Load a copy. The traceback of an error has no frames of the loading, as with the import system's own."""
    try:
        instance.import_copy(name)
    except BaseException as error:
        error.__traceback__ = strip_import_frames(error.__traceback__)
        raise


def strip_import_frames(traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames of imports."""
    if traceback is None:
        return None
    rest = strip_import_frames(traceback.tb_next)
    if traceback.tb_frame.f_code.co_filename.startswith(IMPORT_PATHS):
        return rest
    return TracebackType(rest, traceback.tb_frame, traceback.tb_lasti, traceback.tb_lineno)


def make_reload(before: Callable[[ModuleType], ModuleType]) -> Callable[[ModuleType], ModuleType]:
    """Return the function that reloads a module: the entry of `sys.modules`, and on one thread at a time."""

    def reload(module: ModuleType) -> ModuleType:
        name = module.__name__
        proxy = sys.modules.get(name)
        with _bootstrap._ModuleLockManager(name):  # type: ignore[attr-defined]
            return before(proxy if type(proxy) is ModuleProxy else module)

    return reload


def make_thread_start(before: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    """Return the function that starts a thread."""

    def start(self: threading.Thread) -> None:
        inherit_instance(self, find_calling_instance(0))
        before(self)

    return start


def make_submit(before: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
    """Return the function that submits a call to an executor, whose threads another instance may have started."""

    def submit(
        self: ThreadPoolExecutor, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        instance = find_calling_instance(0)
        if instance is None:
            return before(self, fn, *args, **kwargs)
        return before(self, call_as_instance, instance, fn, *args, **kwargs)

    return submit


def call_as_instance(
    instance: ProjectInstance, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Make a call that uses an instance."""
    with use_in_thread(instance):
        return fn(*args, **kwargs)


class ProjectFinder(ServerFinder):
    """Finds modules before the other finders do. `found` are those of a project."""

    def __init__(self, first: ProjectInstance, is_project_module: IsProjectModule) -> None:
        self.found: set[str] = set()
        self._first = first
        self._is_project_module = is_project_module

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec that the other finders find, or for a module of a project one that loads a proxy.

        None for a module that is being reloaded, because a copy stays a copy.
        """
        spec = search_path(name, path) if target is None else None
        if spec is None or not self._is_project_module(name, spec):
            return spec
        self.found.add(name)
        return ModuleProxySpec(spec, ModuleProxyLoader(spec.loader, self._first))


class ModuleProxyLoader:
    """Loads a proxy, and passes every other question, such as for the source, to the module's own loader."""

    def __init__(self, loader: Loader | None, first: ProjectInstance) -> None:
        self._loader = loader
        self._first = first

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the proxy."""
        assert isinstance(spec, ModuleProxySpec)
        return ModuleProxy(spec, self._first)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: a copy is executed for each instance that imports the module."""

    def __getattr__(self, attribute: str) -> object:
        return getattr(self._loader, attribute)
