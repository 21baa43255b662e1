"""What `sys.modules` has for a module of which each instance has a copy.

Used on every thread. It owns no module: whatever is asked of it, the copy of the instance that asks answers.
"""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import _LazyModule  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

from threadserve.instances.current_instance import Copies, asker, owners


class StandInSpec(ModuleSpec):
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


class StandIn(ModuleType):
    """Stands for a module's copies. `first` answers whoever belongs to no instance."""

    def __init__(self, spec: StandInSpec, first: Copies) -> None:
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
            copy = known_copy(self)
            return getattr(copy, attribute) if copy is not None else object.__getattribute__(self, attribute)
        try:
            return getattr(copy_for_asker(self), attribute)
        except AttributeError:
            # One that is there once may have been imported just now, on another thread, which is about to set it.
            module = sys.modules.get(f"{name_of(self)}.{attribute}")
            if module is None or type(module) is StandIn:
                raise
            return module

    def __setattr__(self, attribute: str, value: Any) -> None:
        if type(value) is StandInSpec or value is _LazyModule:
            # By the import system, which has found a module for us. The copy has its own, and is no lazier.
            return
        if type(value) is StandIn:
            value = known_copy(value)
            if value is None:
                # By the import system too, which gives it to its package. Whoever loads a copy gives that.
                return
        setattr(copy_for_asker(self), attribute, value)
        if isinstance(value, ModuleType) and sys.modules.get(f"{name_of(self)}.{attribute}") is value:
            # A module within this one of which there is one: the import system gives it to a package only once.
            for copies in list(owners.values()):
                if (copy := copies.known(name_of(self))) is not None:
                    setattr(copy, attribute, value)

    def __delattr__(self, attribute: str) -> None:
        delattr(copy_for_asker(self), attribute)

    def __dir__(self) -> list[str]:
        return dir(copy_for_asker(self))

    def __eq__(self, other: object) -> bool:
        return other is self or (other is not None and other is known_copy(self))

    def __hash__(self) -> int:
        copy = known_copy(self)
        return object.__hash__(self) if copy is None else hash(copy)

    def __repr__(self) -> str:
        return f"<module {name_of(self)!r}, a copy for each thread>"


def name_of(stand_in: StandIn) -> str:
    """The name of the module that it stands for."""
    name: str = object.__getattribute__(stand_in, "__name__")
    return name


def copy_for_asker(stand_in: StandIn) -> ModuleType:
    """The copy that is meant by the code that has called the caller, loaded if need be."""
    return (asker(1) or _first(stand_in)).copy_of(name_of(stand_in))


def known_copy(stand_in: StandIn) -> ModuleType | None:
    """The copy that is meant by the code that has called the caller, if it is loaded."""
    return (asker(1) or _first(stand_in)).known(name_of(stand_in))


def _first(stand_in: StandIn) -> Copies:
    first: Copies = object.__getattribute__(stand_in, "_threadserve")
    return first
