"""Objects of a framework that hold an application's code once per process, such as BlackSheep's default router.

Runs on the loop thread that has imported the application. It owns nothing and changes nothing.
"""

import gc
import sys
from types import FunctionType, ModuleType

from threadserve.app.app_attributes import get_or_none, list_wrapped_apps
from threadserve.instances.project import Project, is_library_module

# An object that holds more than this is no list of routes.
MAX_OBJECTS = 20_000


def find_framework_registry(app: object, project: Project) -> str | None:
    """Return the name of a module-level object of the framework that holds an application's code, or None.

    A copy of the application would register in the same object, and its code would replace or join that of the other.
    """
    for link in list_wrapped_apps(app):
        packages = {get_top_level_package(cls) for cls in type(link).__mro__ if is_library_module(cls.__module__)}
        # An object's dict does not exist before it is first asked for, so the attributes are listed both ways.
        held = (*gc.get_referents(link), *(get_or_none(link, "__dict__") or {}).values())
        for value in held:
            if get_top_level_package(type(value)) not in packages:
                continue
            if (name := find_global_name(value, packages)) is not None and holds_project_code(project, value):
                return name
    return None


def get_top_level_package(cls: type) -> str:
    """Return the name of the package that a class comes from."""
    return cls.__module__.partition(".")[0]


def find_global_name(value: object, packages: set[str]) -> str | None:
    """Return the name of an object in a module of these packages, in the module of its class first, or None."""
    loaded = [(name, module) for name, module in sys.modules.copy().items() if name.partition(".")[0] in packages]
    for name, module in sorted(loaded, key=lambda item: item[0] != type(value).__module__):
        for attribute, there in vars(module).copy().items():
            if there is value:
                return f"{name}.{attribute}"
    return None


def holds_project_code(project: Project, holder: object) -> bool:
    """Return whether an object holds functions of the project, directly or through other objects."""
    seen = {id(holder)}
    waiting = [holder]
    while waiting and len(seen) < MAX_OBJECTS:
        current = waiting.pop()
        if isinstance(current, FunctionType):
            module = current.__module__ or ""
            if project.contains(module, getattr(sys.modules.get(module), "__spec__", None)):
                return True
        for held in list_references(current):
            if id(held) not in seen:
                seen.add(id(held))
                waiting.append(held)
    return False


def list_references(holder: object) -> list[object]:
    """Return the objects that one holds itself, but not its class, its module or a function's globals."""
    if isinstance(holder, FunctionType):
        return [*(holder.__closure__ or ())]
    return [] if isinstance(holder, (ModuleType, type)) else gc.get_referents(holder)
