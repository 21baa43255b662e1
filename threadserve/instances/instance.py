"""One instance's copies of the project's modules, each loaded on its first import.

The first thread to ask loads a copy, under the instance's lock for that module, so that other threads of the instance
wait as for any import. An instance owns its copies; it makes no change to `sys.modules` that others see.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import _bootstrap, import_module
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any, Protocol

from threadserve.instances.current_instance import instances_by_globals, use_in_context
from threadserve.instances.module_proxy import ModuleProxy, get_proxied_name


class CopyError(ImportError):
    """An AttributeError of a module's code, its `__cause__`, raised where an attribute of the module was asked for.

    As an AttributeError it would mean that the module has no such attribute.
    """


class ModuleLock(Protocol):
    """A lock of the import system for one module."""

    def acquire(self) -> object:
        """Take the lock. Raises `_DeadlockError` if that would wait forever."""
        ...

    def release(self) -> None:
        """Give the lock back."""
        ...


class ServerFinder:
    """A finder of the server's own, which is skipped where the server itself searches for a module."""


class Instance:
    """The copies of one instance of the application. Any thread may ask for one."""

    def __init__(self) -> None:
        self._copies: dict[str, ModuleType] = {}
        self._loading_names: set[str] = set()
        self._locks: dict[str, ModuleLock] = {}
        # The globals of replaced copies too, because their code still asks as this instance.
        self._globals: dict[int, dict[str, object]] = {}
        self._is_released = False

    @property
    def module_count(self) -> int:
        """The number of modules that the instance has copies of."""
        return len(self._copies)

    def find_copy(self, name: str) -> ModuleType | None:
        """Return a loaded copy; see `ProjectInstance.find_copy`."""
        return self._copies.get(name)

    def get_copy(self, name: str) -> ModuleType:
        """Return a copy for attribute access; see `ProjectInstance.get_copy`."""
        copy = self._copies.get(name)
        if copy is not None:
            return copy
        try:
            return self.import_copy(name)
        except AttributeError as error:
            raise CopyError(f"{name}: {error}", name=name) from error

    def import_copy(self, name: str) -> ModuleType:
        """Return a copy for an import; see `ProjectInstance.import_copy`.

        As in any import, the module's package comes first, and one thread loads for all that wait.
        """
        copy = self._copies.get(name)
        if copy is not None and name not in self._loading_names:
            return copy
        package_name = name.rpartition(".")[0]
        package = self._get_module(package_name) if package_name else None
        with use_in_context(self), self._lock_module(name):
            copy = self._copies.get(name)
            return self._load(name, package) if copy is None else copy

    def add_copy(self, name: str, module: ModuleType) -> None:
        """Add a module as the instance's copy."""
        self._copies[name] = module
        own = getattr(module, "__dict__", None)
        if isinstance(own, dict):
            self._globals[id(own)] = own
            instances_by_globals[id(own)] = self
            if self._is_released:
                self.release()

    def forget_copy(self, name: str) -> None:
        """Forget a copy; see `ProjectInstance.forget_copy`."""
        self._copies.pop(name, None)

    def release(self) -> None:
        """Let the copies' code, which may still run, ask as its thread's instance and no longer as this one."""
        self._is_released = True
        for identity in list(self._globals):
            instances_by_globals.pop(identity, None)

    @contextmanager
    def _lock_module(self, name: str) -> Iterator[None]:
        """Hold the lock of a module, of the import system's kind, which detects threads that wait for each other."""
        lock: ModuleLock = self._locks.setdefault(name, _bootstrap._ModuleLock(name))  # type: ignore[attr-defined]
        try:
            lock.acquire()
        except _bootstrap._DeadlockError:  # type: ignore[attr-defined]
            if name not in self._copies:
                raise
            # The thread that loads it waits for this one. As in any import, the partly loaded copy must do.
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def _get_module(self, name: str) -> ModuleType:
        """Return the module that this instance's code gets by a name."""
        module = sys.modules.get(name) or import_module(name)
        return self.import_copy(name) if type(module) is ModuleProxy else module

    def _load(self, name: str, package: ModuleType | None) -> ModuleType:
        proxy = sys.modules.get(name)
        if type(proxy) is not ModuleProxy:
            # While this thread waited, every import failed, or the entry was replaced.
            return self._copies.setdefault(name, import_module(name))
        self._loading_names.add(name)
        try:
            copy = self._execute(name, proxy, package)
        finally:
            self._loading_names.discard(name)
        if package is not None:
            is_copied = type(sys.modules.get(package.__name__)) is ModuleProxy
            setattr(package, name.rpartition(".")[2], copy if is_copied else proxy)
        return copy

    def _execute(self, name: str, proxy: ModuleProxy, package: ModuleType | None) -> ModuleType:
        spec: Any = search_path(name, package.__path__ if package is not None else None)
        if spec is None:
            discard_failed_import(name)
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        copy = module_from_spec(spec)
        add_shared_submodules(copy)
        # Other threads that import the module meanwhile wait for it.
        spec._initializing = True
        self.add_copy(name, copy)
        try:
            spec.loader.exec_module(copy)
        except BaseException:
            self._copies.pop(name, None)
            self._globals.pop(id(vars(copy)), None)
            instances_by_globals.pop(id(vars(copy)), None)
            discard_failed_import(name)
            raise
        finally:
            spec._initializing = False
        self._bind(copy)
        return self._take_replacement(name, copy, proxy)

    def _take_replacement(self, name: str, copy: ModuleType, proxy: ModuleProxy) -> ModuleType:
        """Return the object that a module has put in its own place in `sys.modules`, or else the copy."""
        replacement = sys.modules.get(name)
        if type(replacement) is not ModuleProxy:
            sys.modules[name] = proxy
            if replacement is not None:
                self.add_copy(name, replacement)
                return replacement
        return copy

    def _bind(self, copy: ModuleType) -> None:
        """Replace the proxies among a copy's globals by this instance's copies, because attribute access is quicker."""
        for attribute, value in vars(copy).copy().items():
            if type(value) is ModuleProxy and (own := self.find_copy(get_proxied_name(value))) is not None:
                setattr(copy, attribute, own)


def discard_failed_import(name: str) -> None:
    """Remove a module's proxy after a failed import, unless an instance has a copy.

    Otherwise a proxy put there by a later import would stay after the last of the failing imports. Takes the import
    system's lock for the module, because that later import asks once more for the proxy.
    """
    # If such an import waits for this thread, the proxy stays and is asked for a copy again.
    with suppress(_bootstrap._DeadlockError), _bootstrap._ModuleLockManager(name):  # type: ignore[attr-defined]
        # A list, because it is made of a dict's values in one step while other threads change the dict; a set is not.
        instances = list(instances_by_globals.values())
        if type(sys.modules.get(name)) is ModuleProxy and not any(instance.find_copy(name) for instance in instances):
            sys.modules.pop(name, None)


def search_path(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """Return the spec of a module, in the folders of a path if given, as if the server had no finder."""
    for finder in list(sys.meta_path):
        if not isinstance(finder, ServerFinder):
            spec = finder.find_spec(name, path, None)
            if spec is not None:
                return spec
    return None


def add_shared_submodules(package: ModuleType) -> None:
    """Set on a package its submodules that exist once, because they will not be imported again."""
    prefix = f"{package.__name__}."
    for name, module in sys.modules.copy().items():
        if name.startswith(prefix) and "." not in name.removeprefix(prefix) and type(module) is not ModuleProxy:
            setattr(package, name.removeprefix(prefix), module)
