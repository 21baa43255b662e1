"""What `sys.modules` has for a module of which each instance has a copy.

Used on every thread. It owns no module: whatever is asked of it, the copy of the instance that asks answers.
"""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import _LazyModule  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

from threadserve.instances.current_instance import ModuleCopies, find_calling_instance, instances_by_globals


class ModuleProxySpec(ModuleSpec):
    """What is known of a module of which the instance that asks has no copy so far."""

    def __init__(self, spec: ModuleSpec, loader: Any) -> None:
        super().__init__(spec.name, loader, origin=spec.origin, loader_state=spec.loader_state)
        self.submodule_search_locations = spec.submodule_search_locations
        self.cached = spec.cached
        self._set_fileattr = spec.has_location

    @property
    def _initializing(self) -> bool:
        """Has whoever imports the module wait for it, which is when its copy is loaded."""
        return True

    @_initializing.setter
    def _initializing(self, value: bool) -> None:
        pass


class ModuleProxy(ModuleType):
    """Stands for a module's copies. `first` answers whoever belongs to no instance."""

    def __init__(self, spec: ModuleProxySpec, first: ModuleCopies) -> None:
        super().__init__(spec.name)
        own: dict[str, Any] = {"__spec__": spec, "__loader__": spec.loader, "__package__": spec.parent}
        own["_threadserve"] = first
        if spec.submodule_search_locations is not None:
            own["__path__"] = spec.submodule_search_locations
        if spec.has_location:
            own |= {"__file__": spec.origin, "__cached__": spec.cached}
        object.__getattribute__(self, "__dict__").update(own)

    def __getattribute__(self, attribute: str) -> Any:
        if attribute[:2] == "__" and attribute != "__dict__":
            # Whoever goes through sys.modules and looks at these has nothing loaded by that.
            copy = find_copy_for_caller(self)
            return getattr(copy, attribute) if copy is not None else object.__getattribute__(self, attribute)
        try:
            return getattr(get_copy_for_caller(self), attribute)
        except AttributeError:
            # One that is there once may have been imported just now, on another thread, which is about to set it.
            module = sys.modules.get(f"{get_proxied_name(self)}.{attribute}")
            if module is None or type(module) is ModuleProxy:
                raise
            return module

    def __setattr__(self, attribute: str, value: Any) -> None:
        if type(value) is ModuleProxySpec or value is _LazyModule:
            # By the import system, which has found a module for us. The copy has its own, and is no lazier.
            return
        if type(value) is ModuleProxy:
            value = find_copy_for_caller(value)
            if value is None:
                # By the import system too, which gives it to its package. Whoever loads a copy gives that.
                return
        setattr(get_copy_for_caller(self), attribute, value)
        if isinstance(value, ModuleType) and sys.modules.get(f"{get_proxied_name(self)}.{attribute}") is value:
            # A module within this one of which there is one: the import system gives it to a package only once.
            for copies in list(instances_by_globals.values()):
                if (copy := copies.known(get_proxied_name(self))) is not None:
                    setattr(copy, attribute, value)

    def __delattr__(self, attribute: str) -> None:
        delattr(get_copy_for_caller(self), attribute)

    def __dir__(self) -> list[str]:
        return dir(get_copy_for_caller(self))

    def __eq__(self, other: object) -> bool:
        return other is self or (other is not None and other is find_copy_for_caller(self))

    def __hash__(self) -> int:
        copy = find_copy_for_caller(self)
        return object.__hash__(self) if copy is None else hash(copy)

    def __repr__(self) -> str:
        return f"<module {get_proxied_name(self)!r}, a copy for each thread>"


def get_proxied_name(stand_in: ModuleProxy) -> str:
    """The name of the module that it stands for."""
    name: str = object.__getattribute__(stand_in, "__name__")
    return name


def get_copy_for_caller(stand_in: ModuleProxy) -> ModuleType:
    """The copy that is meant by the code that has called the caller, loaded if need be."""
    return (find_calling_instance(1) or _get_first_instance(stand_in)).copy_of(get_proxied_name(stand_in))


def find_copy_for_caller(stand_in: ModuleProxy) -> ModuleType | None:
    """The copy that is meant by the code that has called the caller, if it is loaded."""
    return (find_calling_instance(1) or _get_first_instance(stand_in)).known(get_proxied_name(stand_in))


def _get_first_instance(stand_in: ModuleProxy) -> ModuleCopies:
    first: ModuleCopies = object.__getattribute__(stand_in, "_threadserve")
    return first
