"""What a framework keeps of an application in one place for the process, as BlackSheep does by its default router.

Runs on the loop thread that has imported the application. It owns nothing and changes nothing.
"""

import gc
import sys
from types import FunctionType, ModuleType
from typing import Any

from threadserve.app.app_attributes import get_or_none, list_wrapped_apps
from threadserve.instances.project import Project, is_library_module

# Beyond that it is no list of routes.
MAX_OBJECTS = 20_000


def find_framework_registry(app: Any, project: Project) -> str | None:
    """The name of a module-level object of the framework that an application uses for code of its own, or None.

    A copy of the application would use the same one, and its code would replace another's, or stand beside it.
    """
    for link in list_wrapped_apps(app):
        packages = {get_top_level_package(cls) for cls in type(link).__mro__ if is_library_module(cls.__module__)}
        # As long as nobody has asked for it, an object with attributes has no dict that would hold them.
        held = (*gc.get_referents(link), *(get_or_none(link, "__dict__") or {}).values())
        for value in held:
            if get_top_level_package(type(value)) not in packages:
                continue
            if (name := find_global_name(value, packages)) is not None and holds_project_code(project, value):
                return name
    return None


def get_top_level_package(cls: type) -> str:
    """The package that a class comes from."""
    return cls.__module__.partition(".")[0]


def find_global_name(value: Any, packages: set[str]) -> str | None:
    """By what name an object is there in a module of these packages, in that of its class before others."""
    loaded = [(name, module) for name, module in list(sys.modules.items()) if name.partition(".")[0] in packages]
    for name, module in sorted(loaded, key=lambda item: item[0] != type(value).__module__):
        for attribute, there in list(vars(module).items()):
            if there is value:
                return f"{name}.{attribute}"
    return None


def holds_project_code(project: Project, holder: Any) -> bool:
    """Whether functions of the project are among what an object holds."""
    seen = {id(holder)}
    waiting = [holder]
    while waiting and len(seen) < MAX_OBJECTS:
        current = waiting.pop()
        if isinstance(current, FunctionType):
            module = current.__module__ or ""
            if project.has(module, getattr(sys.modules.get(module), "__spec__", None)):
                return True
        for held in list_references(current):
            if id(held) not in seen:
                seen.add(id(held))
                waiting.append(held)
    return False


def list_references(holder: Any) -> list[Any]:
    """What an object holds itself: neither what its class or module has, nor a function's globals."""
    if isinstance(holder, FunctionType):
        return [*(holder.__closure__ or ())]
    return [] if isinstance(holder, (ModuleType, type)) else gc.get_referents(holder)
