"""What `sys.modules` has for a module of which each instance has a copy.

Used on every thread. It owns no module: whatever is asked of it, the copy of the instance that asks answers.
"""

from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from threadserve.instances.asking import Copies, asker

# What all copies have alike: who goes through `sys.modules` and looks at these has nothing loaded by that.
ALIKE = frozenset({"__class__", "__doc__", "__file__", "__loader__", "__name__", "__package__", "__path__"})


class StandInSpec(ModuleSpec):
    """By what a module is loaded that gets a stand-in."""


class StandIn(ModuleType):
    """Stands for a module's copies. `first` answers whoever belongs to no instance."""

    def __init__(self, name: str, first: Copies) -> None:
        super().__init__(name)
        object.__setattr__(self, "_threadserve", (name, first))

    def __getattribute__(self, attribute: str) -> Any:
        module = known_copy(self) if attribute in ALIKE else None
        return getattr(copy_for_asker(self) if module is None else module, attribute)

    def __setattr__(self, attribute: str, value: Any) -> None:
        if type(value) is StandInSpec:
            # By the import system, which has found a module for us. The copy has its own.
            return
        setattr(copy_for_asker(self), attribute, copy_for_asker(value) if type(value) is StandIn else value)

    def __delattr__(self, attribute: str) -> None:
        delattr(copy_for_asker(self), attribute)

    def __dir__(self) -> list[str]:
        return dir(copy_for_asker(self))

    def __repr__(self) -> str:
        return f"<module {name_of(self)!r}, a copy for each thread>"


def name_of(stand_in: StandIn) -> str:
    """The name of the module that it stands for."""
    name: str = object.__getattribute__(stand_in, "_threadserve")[0]
    return name


def copy_for_asker(stand_in: StandIn) -> ModuleType:
    """The copy that is meant by the code that has called the caller, loaded if need be."""
    name, first = object.__getattribute__(stand_in, "_threadserve")
    copies: Copies = asker() or first
    return copies.copy_of(name)


def known_copy(stand_in: StandIn) -> ModuleType | None:
    """The copy that is meant by the code that has called the caller, or else the first, if one of them is loaded."""
    name, first = object.__getattribute__(stand_in, "_threadserve")
    copies: Copies = asker() or first
    return copies.known(name) or first.known(name)
