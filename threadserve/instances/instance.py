"""One instance's copies of the project's modules, each loaded when it is first imported.

Whichever thread asks first loads a copy, under a lock of the instance for that module, so that others of that instance
wait for it as for any import. An instance owns its copies; it changes `sys.modules` in nothing that others see.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import _bootstrap, import_module
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any

from threadserve.instances.current_instance import instances_by_globals, use_in_context
from threadserve.instances.module_proxy import ModuleProxy, get_proxied_name


class CopyError(ImportError):
    """A module's code has raised an AttributeError where the module was asked for an attribute, by which it would be
    taken for one without that attribute. `__cause__` is that error."""


class ServerFinder:
    """What finds modules for the import system on our behalf, and is to be passed over in a search of our own."""


class Instance:
    """The copies of one instance of the application. Any thread may ask for one."""

    def __init__(self) -> None:
        self._copies: dict[str, ModuleType] = {}
        self._loading: set[str] = set()
        self._locks: dict[str, Any] = {}
        # Of all copies, also of those that have been replaced: their code asks as this instance.
        self._globals: dict[int, dict[str, Any]] = {}
        self._is_released = False

    @property
    def modules(self) -> int:
        """How many modules it has copies of."""
        return len(self._copies)

    def known(self, name: str) -> ModuleType | None:
        """See `Copies.known`."""
        return self._copies.get(name)

    def copy_of(self, name: str) -> ModuleType:
        """See `Copies.copy_of`."""
        copy = self._copies.get(name)
        if copy is not None:
            return copy
        try:
            return self.imported(name)
        except AttributeError as error:
            raise CopyError(f"{name}: {error}", name=name) from error

    def imported(self, name: str) -> ModuleType:
        """See `Copies.imported`. As in any import: a module's package first, and one thread for all that want it."""
        copy = self._copies.get(name)
        if copy is not None and name not in self._loading:
            return copy
        package = name.rpartition(".")[0]
        holder = self._in_use(package) if package else None
        with use_in_context(self), self._alone_with(name):
            copy = self._copies.get(name)
            return self._load(name, holder) if copy is None else copy

    def adopt(self, name: str, module: ModuleType) -> None:
        """Takes a module for its copy."""
        self._copies[name] = module
        own = getattr(module, "__dict__", None)
        if isinstance(own, dict):
            self._globals[id(own)] = own
            instances_by_globals[id(own)] = self
            if self._is_released:
                self.release()

    def forget(self, name: str) -> None:
        """Has a module that somebody has taken out of `sys.modules` loaded anew for who imports it again."""
        self._copies.pop(name, None)

    def release(self) -> None:
        """Has code of the copies, which may still run, ask as the thread's instance and no longer as this one."""
        self._is_released = True
        for identity in list(self._globals):
            instances_by_globals.pop(identity, None)

    @contextmanager
    def _alone_with(self, name: str) -> Iterator[None]:
        """One thread at a time, by the import system's kind of lock: it detects threads that wait for each other."""
        lock: Any = self._locks.setdefault(name, _bootstrap._ModuleLock(name))  # type: ignore[attr-defined]
        try:
            lock.acquire()
        except _bootstrap._DeadlockError:  # type: ignore[attr-defined]
            if name not in self._copies:
                raise
            # It is being loaded by a thread that waits for this one. As in any import, what there is of it has to do.
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def _in_use(self, name: str) -> ModuleType:
        """The module that code of this instance gets by a name."""
        module = sys.modules.get(name) or import_module(name)
        return self.imported(name) if type(module) is ModuleProxy else module

    def _load(self, name: str, holder: ModuleType | None) -> ModuleType:
        stand_in = sys.modules.get(name)
        if type(stand_in) is not ModuleProxy:
            # Nobody's import has succeeded, or somebody has put something else there, while this thread waited.
            return self._copies.setdefault(name, import_module(name))
        self._loading.add(name)
        try:
            copy = self._execute(name, stand_in, holder)
        finally:
            self._loading.discard(name)
        if holder is not None:
            is_copied = type(sys.modules.get(holder.__name__)) is ModuleProxy
            setattr(holder, name.rpartition(".")[2], copy if is_copied else stand_in)
        return copy

    def _execute(self, name: str, stand_in: ModuleProxy, holder: ModuleType | None) -> ModuleType:
        spec: Any = find_spec(name, holder)
        if spec is None:
            discard_failed_import(name)
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        copy = module_from_spec(spec)
        add_shared_submodules(copy)
        # Who imports the module meanwhile waits for it, except on this thread.
        spec._initializing = True
        self.adopt(name, copy)
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
        return self._put_in_its_place(name, copy, stand_in)

    def _put_in_its_place(self, name: str, copy: ModuleType, stand_in: ModuleProxy) -> ModuleType:
        """Takes for the copy what a module has put in its own place, if it has."""
        put = sys.modules.get(name)
        if type(put) is not ModuleProxy:
            sys.modules[name] = stand_in
            if put is not None:
                self.adopt(name, put)
                return put
        return copy

    def _bind(self, copy: ModuleType) -> None:
        """Gives a copy the copies of what it has imported, in place of what stands for them: attributes are quicker."""
        for attribute, value in list(vars(copy).items()):
            if type(value) is ModuleProxy and (meant := self.known(get_proxied_name(value))) is not None:
                setattr(copy, attribute, meant)


def discard_failed_import(name: str) -> None:
    """Has a module imported as if it never had been, after a failure, unless some instance has a copy.

    Whatever stands for it goes, or what an import has put there anew would stay when the last of those fails that began
    before. Under the import system's lock for the module: that import asks for what it has put there once more.
    """
    # Where such an import waits for this thread the stand-in stays, and is asked for a copy again.
    with suppress(_bootstrap._DeadlockError), _bootstrap._ModuleLockManager(name):  # type: ignore[attr-defined]
        # A set could not be made of values that change on another thread; a list of a dictionary's is made at once.
        instances = list(instances_by_globals.values())
        if type(sys.modules.get(name)) is ModuleProxy and not any(copies.known(name) for copies in instances):
            sys.modules.pop(name, None)


def find_spec(name: str, holder: ModuleType | None) -> ModuleSpec | None:
    """Finds a module, in its package if that is given, as the import system would without us."""
    return search_path(name, holder.__path__ if holder is not None else None)


def search_path(name: str, path: Any) -> ModuleSpec | None:
    """The same, in the folders of a path."""
    for finder in list(sys.meta_path):
        if not isinstance(finder, ServerFinder):
            spec = finder.find_spec(name, path, None)
            if spec is not None:
                return spec
    return None


def add_shared_submodules(package: ModuleType) -> None:
    """Gives a package those of its modules of which there is one, and which will not be imported again."""
    prefix = f"{package.__name__}."
    for name, module in list(sys.modules.items()):
        if name.startswith(prefix) and "." not in name.removeprefix(prefix) and type(module) is not ModuleProxy:
            setattr(package, name.removeprefix(prefix), module)
