"""Import strings, module:attribute: parsing and importing them, with a suggestion for every mistake.

Runs on the loop thread that loads the application, under the lock of `AppLoader`. It never calls the application.
"""

import importlib
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, NamedTuple

from threadserve.app.app_errors import wrap_app_errors
from threadserve.app.suggestions import suggest_attribute, suggest_module, suggest_package, suggest_submodule
from threadserve.errors import AppLoadError


class ImportString(NamedTuple):
    """The place of an application: the full name of a module, and an attribute in it, perhaps with dots."""

    module: str
    attribute: str

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}"


def parse_import_string(text: str) -> ImportString:
    """Parse module:attribute. Raises `AppLoadError` with the string that was probably meant."""
    module, _, attribute = text.partition(":")
    if module.endswith(".py") or "/" in module or "\\" in module:
        raise AppLoadError(f"{text!r} names a file, not a module; did you mean {_suggest_for_file(module, attribute)}?")
    if not module or module.startswith(".") or not attribute or attribute.endswith("()"):
        meant = _suggest_app(module.lstrip("."), attribute)
        raise AppLoadError(f"{text!r} is not of the form module:attribute; did you mean {meant}?")
    return ImportString(module, attribute)


def _suggest_for_file(path: str, attribute: str) -> str:
    """Return the import string for a file's path, with --app-dir if it is not below the working directory."""
    pure = PurePosixPath(path.replace("\\", "/"))
    file = pure.parent if pure.name == "__init__.py" else pure.with_name(pure.name.removesuffix(".py"))
    if file.is_absolute() or ".." in file.parts:
        return f"{_suggest_app(file.name, attribute)} --app-dir {file.parent}"
    return _suggest_app(".".join(file.parts), attribute)


def _suggest_app(module: str, attribute: str) -> str:
    factory = attribute.endswith("()")
    return f"{module or 'main'}:{attribute.removesuffix('()') or 'app'}{' --factory' if factory else ''}"


def import_object(string: ImportString, folder: Path) -> Any:
    """Import the module, which should be in `folder`, and return the attribute.

    Raises `AppLoadError` if one of them does not exist, and `AppImportFailed` if the application's code raises.
    """
    with wrap_app_errors(f"{string} cannot be imported", lambda error: suggest_package(error, *string, folder)):
        try:
            module = importlib.import_module(string.module)
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if not f"{string.module}.".startswith(f"{missing}."):
                raise
            hint = suggest_module(string.module, missing, string.attribute, folder)
            raise AppLoadError(f"module {missing!r} was not found in {folder}{hint}") from None
        return _get_attribute(module, string, folder)


def _get_attribute(module: ModuleType, string: ImportString, folder: Path) -> Any:
    try:
        return resolve_attribute(module, string.attribute)
    except AttributeError:
        raise AppLoadError(_describe_missing_attribute(module, string, folder)) from None


def resolve_attribute(module: ModuleType, attribute: str) -> Any:
    """Return an attribute of a module, following dots. Raises AttributeError."""
    found: Any = module
    for name in attribute.split("."):
        found = getattr(found, name)
    return found


def _describe_missing_attribute(module: ModuleType, string: ImportString, folder: Path) -> str:
    """Return the error for a missing attribute.

    It names the module's file if that is not in `folder`, because such a module may hide the one that was meant.
    """
    owner: object = module
    found: list[str] = []
    names = string.attribute.split(".")
    while hasattr(owner, names[0]):
        found.append(names[0])
        owner = getattr(owner, names.pop(0))
    file = getattr(module, "__file__", None)
    subject = f"{string.module}:{'.'.join(found)}" if found else f"module {string.module!r}"
    where = f" ({file})" if file and folder not in Path(file).parents else ""
    meant = _suggest_attribute(module, found, owner, names[0])
    return f"{subject}{where} has no attribute {names[0]!r}{f'; did you mean {meant}?' if meant else ''}"


def _suggest_attribute(module: ModuleType, found: list[str], owner: object, wanted: str) -> str:
    if match := suggest_attribute(owner, wanted):
        return f"{module.__name__}:{'.'.join([*found, match])}"
    if owner is module and (submodule := suggest_submodule(module, wanted)):
        return f"{submodule}:app"
    return ""
