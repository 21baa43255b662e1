"""The proxy in `sys.modules` for a module of which each instance has a copy.

Used on every thread. It owns no module: the copy of the calling instance answers every access.
"""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import _LazyModule  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

from threadserve.instances.current_instance import ProjectInstance, find_calling_instance, instances_by_globals


class ModuleProxySpec(ModuleSpec):
    """The spec of a module of which the calling instance has no copy so far."""

    def __init__(self, spec: ModuleSpec, loader: Any) -> None:
        super().__init__(spec.name, loader, origin=spec.origin, loader_state=spec.loader_state)
        self.submodule_search_locations = spec.submodule_search_locations
        self.cached = spec.cached
        self._set_fileattr = spec.has_location

    @property
    def _initializing(self) -> bool:
        """True, so that an import waits for the module; the wait is when its copy is loaded."""
        return True

    @_initializing.setter
    def _initializing(self, value: bool) -> None:
        pass


class ModuleProxy(ModuleType):
    """Forwards to the copy of the calling instance, or of `first` for code that belongs to none."""

    def __init__(self, spec: ModuleProxySpec, first: ProjectInstance) -> None:
        super().__init__(spec.name)
        own: dict[str, object] = {"__spec__": spec, "__loader__": spec.loader, "__package__": spec.parent}
        own["_threadserve"] = first
        if spec.submodule_search_locations is not None:
            own["__path__"] = spec.submodule_search_locations
        if spec.has_location:
            own |= {"__file__": spec.origin, "__cached__": spec.cached}
        object.__getattribute__(self, "__dict__").update(own)

    def __getattribute__(self, attribute: str) -> Any:
        if attribute[:2] == "__" and attribute != "__dict__":
            # Code that looks at these for every entry of sys.modules must not load a copy by that.
            copy = find_copy_for_caller(self)
            return getattr(copy, attribute) if copy is not None else object.__getattribute__(self, attribute)
        try:
            return getattr(get_copy_for_caller(self), attribute)
        except AttributeError:
            # Another thread may just have imported a submodule that exists once, and be about to set it.
            module = sys.modules.get(f"{get_proxied_name(self)}.{attribute}")
            if module is None or type(module) is ModuleProxy:
                raise
            return module

    def __setattr__(self, attribute: str, value: object) -> None:
        if type(value) is ModuleProxySpec or value is _LazyModule:
            # Set by the import system. The copy has a spec of its own, and is not loaded lazily.
            return
        if type(value) is ModuleProxy:
            value = find_copy_for_caller(value)
            if value is None:
                # Set by the import system on the package. Loading a copy sets the copy there.
                return
        setattr(get_copy_for_caller(self), attribute, value)
        if isinstance(value, ModuleType) and sys.modules.get(f"{get_proxied_name(self)}.{attribute}") is value:
            # A submodule that exists once: the import system sets it on a package only once.
            for instance in list(instances_by_globals.values()):
                if (copy := instance.find_copy(get_proxied_name(self))) is not None:
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


def get_proxied_name(proxy: ModuleProxy) -> str:
    """Return the name of the module behind a proxy."""
    name: str = object.__getattribute__(proxy, "__name__")
    return name


def get_copy_for_caller(proxy: ModuleProxy) -> ModuleType:
    """Return the copy for the code that has called the caller, loading it if necessary."""
    return (find_calling_instance(1) or _get_first_instance(proxy)).get_copy(get_proxied_name(proxy))


def find_copy_for_caller(proxy: ModuleProxy) -> ModuleType | None:
    """Return the copy for the code that has called the caller if it is loaded."""
    return (find_calling_instance(1) or _get_first_instance(proxy)).find_copy(get_proxied_name(proxy))


def _get_first_instance(proxy: ModuleProxy) -> ProjectInstance:
    first: ProjectInstance = object.__getattribute__(proxy, "_threadserve")
    return first
