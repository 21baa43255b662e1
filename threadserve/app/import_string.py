"""From module:attribute to the object, and a line for everything that can be wrong on the way.

Runs on the loop thread that loads the application, under the lock of `loading`. It never calls the application.
"""

import importlib
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, NamedTuple

from threadserve.app.app_errors import application_code
from threadserve.app.suggestions import attribute_hint, module_hint, package_hint, submodule_hint
from threadserve.errors import AppLoadError


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


def _attribute_of(module: ModuleType, string: ImportString, folder: Path) -> Any:
    try:
        return walk(module, string.attribute)
    except AttributeError:
        raise AppLoadError(_missing_attribute(module, string, folder)) from None


def walk(module: ModuleType, attribute: str) -> Any:
    """Returns an attribute of a module, or with dots an attribute of that. Raises AttributeError."""
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
