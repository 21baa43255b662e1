"""The search for objects that belong to one event loop, in modules and on the application.

Runs in the inspected process, on one thread, while the application is up and nothing is served. It owns nothing,
imports nothing and changes nothing.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from threadserve.app.app_attributes import (
    Attribute,
    collect_attributes,
    get_entries,
    get_members,
    is_set_by_framework,
)
from threadserve.check.assignments import find_assignment
from threadserve.check.findings import SourceLocation
from threadserve.check.loop_bound_types import find_loop_bound_type, is_instance
from threadserve.instances.current_instance import instances_by_globals
from threadserve.instances.module_proxy import ModuleProxy
from threadserve.instances.project import NEVER_COPIED, Project, is_library, is_within
from threadserve.instances.registry import get_module_spec, registry

MAX_MEMBERS = 1000
CONTAINERS = (list, tuple, set, frozenset, dict)


@dataclass(frozen=True)
class Sharing:
    """The way the loops have the application's modules: `reason` says why they share them, "" if they do not.

    `is_asked_for` is true if the settings ask for sharing, `is_wsgi` if only loops of the application's own run its
    code, and `is_complete` if several instances have been loaded.
    """

    project: Project
    reason: str = ""
    is_asked_for: bool = False
    is_wsgi: bool = False
    is_complete: bool = True


@dataclass(frozen=True)
class HeldObject:
    """An object that belongs to one loop, and its place. `module` is None for an object on the application."""

    value: object
    label: str
    kind: str
    module: ModuleType | None
    is_copied: bool = False
    is_library: bool = False

    @property
    def location(self) -> SourceLocation | None:
        """The line that has assigned it, if there is one."""
        return find_assignment(self.module, self.label) if self.module is not None else None


def search_modules(sharing: Sharing) -> Iterator[HeldObject]:
    """Yield the objects in the loaded modules: first the project's, from one of the copies, then those of libraries."""
    project = sharing.project
    found = [(name, module, get_first_copy(name, module)) for name, module in sys.modules.copy().items()]
    own = [
        (copy, is_module_copied(name, module, sharing))
        for name, module, copy in found
        if copy is not None and is_project_module(name, module, project)
    ]
    libraries = [
        copy for name, module, copy in found if copy is not None and is_third_party_module(name, module, project)
    ]
    for module, has_copies in own:
        for label, value in iterate_module_values(module):
            if (kind := find_loop_bound_type(value)) is not None:
                yield HeldObject(value, label, kind, module, has_copies)
    for module in libraries:
        for label, value in iterate_globals(module):
            if (kind := find_loop_bound_type(value)) is not None:
                yield HeldObject(value, label, kind, module, is_library=True)


def get_first_copy(name: str, module: object) -> ModuleType | None:
    """Return a module, or the first instance's copy for a proxy."""
    copy = registry.first.find_copy(name) if type(module) is ModuleProxy else module
    return copy if is_instance(copy, ModuleType) else None


def is_project_module(name: str, module: object, project: Project) -> bool:
    """Return whether a module is the project's, including those that exist once."""
    if type(module) is ModuleProxy:
        return True
    spec = get_module_spec(module)
    return spec is not None and Project(project.package).contains(name, spec)


def is_module_copied(name: str, module: object, sharing: Sharing) -> bool:
    """Return whether each instance has a copy of a module; False if only modules that exist once import it."""
    if type(module) is not ModuleProxy:
        return False
    if not (sharing.project.shared and sharing.is_complete):
        return True
    instances = {id(instance): instance for instance in list(instances_by_globals.values())}
    return sum(instance.find_copy(name) is not None for instance in instances.values()) > 1


def is_third_party_module(name: str, module: object, project: Project) -> bool:
    """Return whether a module belongs to a library other than Python's own and the server."""
    spec = None if type(module) is ModuleProxy else get_module_spec(module)
    if spec is None or is_within(name, (*NEVER_COPIED, *sys.stdlib_module_names)):
        return False
    return is_library(name, spec) and not is_within(name, [project.package])


def search_app(app: object, sharing: Sharing) -> Iterator[HeldObject]:
    """Yield the objects on the application and its mounted applications, except those that frameworks set there."""
    for attribute in collect_attributes(app).values():
        kind = find_loop_bound_type(attribute.value)
        if kind is not None and not is_set_by_framework(attribute):
            yield HeldObject(attribute.value, attribute.label, kind, None, is_copied=not sharing.reason)


def iterate_module_values(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Yield a module's globals and their members, each with its name in the source."""
    for name, value in iterate_globals(module):
        yield name, value
        if find_loop_bound_type(value) is None:
            yield from ((f"{name}{suffix}", inner) for suffix, inner in iterate_members(value))


def iterate_globals(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Yield a module's globals, and the attributes of its own classes."""
    for name, value in list(vars(module).items()):
        yield name, value
        if is_instance(value, type) and value.__module__ == module.__name__:
            yield from ((f"{name}.{attribute}", inner) for attribute, inner in list(vars(value).items()))


def iterate_members(value: Any) -> Iterator[tuple[str, object]]:
    """Yield the members of an object: the entries of containers, and attributes with their entries."""
    is_plain_builtin = type(value).__module__ == "builtins" and not is_instance(value, *CONTAINERS)
    if is_plain_builtin or is_instance(value, ModuleType, type):
        return
    if is_instance(value, list, tuple, set, frozenset):
        yield from ((f"[{index}]", inner) for index, inner in enumerate(list(value)[:MAX_MEMBERS]))
    elif is_instance(value, dict):
        yield from list(get_entries_safely("", value).items())[:MAX_MEMBERS]
    else:
        for name, inner in get_members(value).items():
            # An object that a framework sets on its application, as Quart does an event, is the framework's concern.
            if not (callable(value) and is_set_by_framework(Attribute("", inner, name, type(value)))):
                yield f".{name}", inner
            if find_loop_bound_type(inner) is None:
                yield from ((f".{name}{key}", entry) for key, entry in get_entries_safely(name, inner).items())


def get_entries_safely(name: str, value: object) -> dict[str, object]:
    """Return the entries of an attribute; none if a key cannot be shown."""
    try:
        return get_entries(name, value)
    except Exception:
        return {}
