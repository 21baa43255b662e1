"""From module:attribute to the object, and a line for everything that can be wrong on the way.

Runs on the loop thread that loads the application, under the lock of `loading`. It changes `sys.modules` for the time
of a second import only; it never calls the application.
"""

import importlib
import inspect
import sys
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, NamedTuple

from threadserve.errors import AppLoadError
from threadserve.interfaces.app_errors import application_code
from threadserve.interfaces.near_misses import attribute_hint, module_hint, package_hint, submodule_hint


class ImportString(NamedTuple):
    """Where an application is: a module's full name, and an attribute in it, with dots for attributes of that."""

    module: str
    attribute: str

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}"


def parse(text: str) -> ImportString:
    """Reads module:attribute; raises `AppLoadError` with what to type instead."""
    module, _, attribute = text.partition(":")
    if module.endswith(".py") or "/" in module or "\\" in module:
        raise AppLoadError(f"{text!r} names a file, not a module; did you mean {_for_file(module, attribute)}?")
    if not module or module.startswith(".") or not attribute or attribute.endswith("()"):
        meant = _for_app(module.lstrip("."), attribute)
        raise AppLoadError(f"{text!r} is not of the form module:attribute; did you mean {meant}?")
    return ImportString(module, attribute)


def _for_file(path: str, attribute: str) -> str:
    """What to type for the path of a file; one that is not below the working directory needs --app-dir."""
    pure = PurePosixPath(path.replace("\\", "/"))
    file = pure.parent if pure.name == "__init__.py" else pure.with_name(pure.name.removesuffix(".py"))
    if file.is_absolute() or ".." in file.parts:
        return f"{_for_app(file.name, attribute)} --app-dir {file.parent}"
    return _for_app(".".join(file.parts), attribute)


def _for_app(module: str, attribute: str) -> str:
    factory = attribute.endswith("()")
    return f"{module or 'main'}:{attribute.removesuffix('()') or 'app'}{' --factory' if factory else ''}"


def import_first(string: ImportString, folder: Path) -> Any:
    """Imports the module, which should be in `folder`, and returns the object.

    Raises `AppLoadError` if either is not there and `AppImportFailed` if the application's code raises.
    """
    with application_code(f"{string} cannot be imported", lambda error: package_hint(error, *string, folder)):
        try:
            module = importlib.import_module(string.module)
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if not f"{string.module}.".startswith(f"{missing}."):
                raise
            hint = module_hint(string.module, missing, string.attribute, folder)
            raise AppLoadError(f"module {missing!r} was not found in {folder}{hint}") from None
        return _attribute_of(module, string, folder)


def import_again(string: ImportString) -> Any:
    """Executes the module once more and returns the object made by that; raises whatever the application's code does.

    The first module is back in `sys.modules` afterwards. In between the new one is there, as in every import: classes
    look up the names in their annotations in `sys.modules`, and would find the first module's classes. Another thread
    that imports the module at that moment waits for it, by the import system's own locks. A module that cannot be
    executed again (`__main__`, one that something else has put into `sys.modules`) is an ImportError.
    """
    first = sys.modules.get(string.module)
    if string.module == "__main__" or getattr(getattr(first, "__spec__", None), "name", "") != string.module:
        raise ImportError(f"module {string.module!r} can be executed only once", name=string.module)
    sys.modules.pop(string.module)
    try:
        module = importlib.import_module(string.module)
        _add_submodules(module)
        _resolve_forward_references(module)
    finally:
        _put_back(string.module, first)
    return _walk(module, string.attribute)


def _put_back(name: str, module: Any) -> None:
    """Undoes what importing a module again changed in `sys.modules` and in the package around it."""
    sys.modules[name] = module
    package, _, child = name.rpartition(".")
    if package in sys.modules:
        setattr(sys.modules[package], child, module)


def _add_submodules(module: ModuleType) -> None:
    """Gives a package executed again its submodules, which were not imported again, so they did not add themselves."""
    prefix = f"{module.__name__}."
    for name, submodule in list(sys.modules.items()):
        if name.startswith(prefix) and "." not in name.removeprefix(prefix):
            vars(module).setdefault(name.removeprefix(prefix), submodule)


def _resolve_forward_references(module: ModuleType) -> None:
    """Makes pydantic resolve now what it would resolve on first use, when it would find the first module's classes."""
    for value in list(vars(module).values()):
        if inspect.isclass(value) and value.__module__ == module.__name__:
            _complete_model(value)


def _complete_model(model: Any) -> None:
    if getattr(model, "__pydantic_complete__", True) is False and hasattr(model, "model_rebuild"):
        model.model_rebuild(raise_errors=False)


def _attribute_of(module: ModuleType, string: ImportString, folder: Path) -> Any:
    try:
        return _walk(module, string.attribute)
    except AttributeError:
        raise AppLoadError(_missing_attribute(module, string, folder)) from None


def _walk(module: ModuleType, attribute: str) -> Any:
    found: Any = module
    for name in attribute.split("."):
        found = getattr(found, name)
    return found


def _missing_attribute(module: ModuleType, string: ImportString, folder: Path) -> str:
    """The line for an attribute that is not there. A module from elsewhere may hide the one meant, so say its file."""
    owner: Any = module
    found: list[str] = []
    names = string.attribute.split(".")
    while hasattr(owner, names[0]):
        found.append(names[0])
        owner = getattr(owner, names.pop(0))
    file = getattr(module, "__file__", None)
    subject = f"{string.module}:{'.'.join(found)}" if found else f"module {string.module!r}"
    where = f" ({file})" if file and folder not in Path(file).parents else ""
    meant = _meant(module, found, owner, names[0])
    return f"{subject}{where} has no attribute {names[0]!r}{f'; did you mean {meant}?' if meant else ''}"


def _meant(module: ModuleType, found: list[str], owner: Any, wanted: str) -> str:
    if match := attribute_hint(owner, wanted):
        return f"{module.__name__}:{'.'.join([*found, match])}"
    if owner is module and (submodule := submodule_hint(module, wanted)):
        return f"{submodule}:app"
    return ""


def holder_of(app: Any, module: str) -> str | None:
    """Returns, as module:attribute, the first place from which `module` can have got an object, or None.

    That is a module imported by it that has the object too, either because the object is made there or because it
    imports `module` in turn. To be called right after the import: Python moves a module to the end of `sys.modules`
    when it is complete, so those before `module` are what it imported. `__main__`, which `multiprocessing` gives a
    second name, is never complete.
    """
    program = sys.modules.get("__main__")
    for name, other in list(sys.modules.items()):
        if name == module:
            return None
        if other is not program and isinstance(other, ModuleType):
            for attribute, value in list(vars(other).items()):
                if value is app:
                    return f"{name}:{attribute}"
    return None
