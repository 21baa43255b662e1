"""One instance's copies of the project's modules, each loaded when it is first asked for.

Whichever thread asks first loads a copy, under the import system's own lock for that module, so that others wait for it
as for any import. An instance owns its copies; it changes `sys.modules` in nothing that others see.
"""

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib import _bootstrap, import_module
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any

from threadserve.instances.asking import asking_as, owners
from threadserve.instances.stand_in import StandIn, name_of

# Before 3.13 an import passes over what is raised where it asks a module in sys.modules for its specification.
LOSES_ERRORS = sys.version_info < (3, 13)


class CopyError(ImportError):
    """A module's code has raised an AttributeError, by which the import system would take the module for one without
    a specification. `__cause__` is that error."""


class SearchedByUs:
    """What finds modules for the import system on our behalf, and is to be passed over in a search of our own."""


class Instance:
    """The copies of one instance of the application. Any thread may ask for one."""

    def __init__(self) -> None:
        self._copies: dict[str, ModuleType] = {}
        self._lost: BaseException | None = None

    def known(self, name: str) -> ModuleType | None:
        """See `Copies.known`."""
        return self._copies.get(name)

    def copy_of(self, name: str) -> ModuleType:
        """See `Copies.copy_of`."""
        copy = self._copies.get(name)
        if copy is not None:
            return copy
        try:
            return self.load(name)
        except BaseException as error:
            self._lost = error if LOSES_ERRORS else None
            raise

    def adopt(self, name: str, module: ModuleType) -> None:
        """Takes a module that has been imported for its copy."""
        self._copies[name] = module
        owners[id(vars(module))] = self

    def release(self) -> None:
        """Has code of the copies, which may still run, ask as the thread's instance and no longer as this one."""
        for module in list(self._copies.values()):
            owners.pop(id(vars(module)), None)

    def __len__(self) -> int:
        return len(self._copies)

    def load(self, name: str) -> ModuleType:
        """See `Copies.load`. As importlib does it: a module's package first, and one thread for all that want it."""
        package = name.rpartition(".")[0]
        holder = self._in_use(package) if package else None
        with asking_as(self), module_lock(name):
            if name not in self._copies:
                try:
                    self._import(name, holder)
                except AttributeError as error:
                    raise CopyError(f"{name}: {error}", name=name) from error
            return self._copies[name]

    def _import(self, name: str, holder: ModuleType | None) -> None:
        if name not in sys.modules:
            # Another thread's import has failed while this one waited for it.
            import_module(name)
            return
        copy = self._execute(name, holder.__path__ if holder is not None else None)
        if holder is not None:
            setattr(holder, name.rpartition(".")[2], copy)

    def _in_use(self, name: str) -> ModuleType:
        """The module that code of this instance gets by a name."""
        module = sys.modules[name]
        return self.copy_of(name) if type(module) is StandIn else module

    def _execute(self, name: str, path: Sequence[str] | None) -> ModuleType:
        spec: Any = find_spec(name, path)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        copy, stand_in = module_from_spec(spec), sys.modules[name]
        add_shared_submodules(copy)
        self.adopt(name, copy)
        # Who imports the module meanwhile waits for it, except on this thread.
        spec._initializing = True
        try:
            spec.loader.exec_module(copy)
            self._raise_lost()
        except BaseException:
            self._forget(name)
            raise
        finally:
            spec._initializing = False
            put, sys.modules[name] = sys.modules.get(name, copy), stand_in
        self._bind(copy)
        if put is not stand_in:
            # The module has put something else in its own place.
            self._copies[name] = copy = put
        return copy

    def _raise_lost(self) -> None:
        """Raises what has kept a copy that was imported just now from being loaded, if the import has not."""
        lost, self._lost = self._lost, None
        if lost is not None:
            raise lost

    def _forget(self, name: str) -> None:
        owners.pop(id(vars(self._copies.pop(name))), None)

    def _bind(self, copy: ModuleType) -> None:
        """Gives a copy the copies of what it has imported, in place of what stands for them: attributes are quicker."""
        for attribute, value in list(vars(copy).items()):
            if type(value) is StandIn and (meant := self.known(name_of(value))) is not None:
                setattr(copy, attribute, meant)


def module_lock(name: str) -> AbstractContextManager[None]:
    """The import system's own lock for a module, by which it has one thread at a time load it.

    It detects the deadlock of two threads that import two modules which import each other.
    """
    lock: AbstractContextManager[None] = _bootstrap._ModuleLockManager(name)  # type: ignore[attr-defined]
    return lock


def find_spec(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """Finds a module as the import system would without us."""
    for finder in list(sys.meta_path):
        if not isinstance(finder, SearchedByUs):
            spec = finder.find_spec(name, path, None)
            if spec is not None:
                return spec
    return None


def add_shared_submodules(package: ModuleType) -> None:
    """Gives a package those of its modules of which there is one, and which will not be imported again."""
    prefix = f"{package.__name__}."
    for name, module in list(sys.modules.items()):
        if name.startswith(prefix) and "." not in name.removeprefix(prefix) and type(module) is not StandIn:
            setattr(package, name.removeprefix(prefix), module)
