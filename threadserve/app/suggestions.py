"""Suggestions for the module or attribute that was meant by a name that does not exist.

Runs on the loop thread that loads the application, only after that failed. It reads folders and namespaces; it never
imports a module and never runs code of the application.
"""

import inspect
import os
import sys
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

COMMON_ATTRIBUTES = ("app", "application", "create_app")
COMMON_MODULES = ("main", "app", "asgi")
MAX_PARENT_FOLDERS = 2


def suggest_module(name: str, missing: str, attribute: str, folder: Path) -> str:
    """Return "; did you mean …?" or a remedy for a module that was not found, or "".

    `missing` is the module that Python did not find, `name` itself or a package around it; `folder` is where the
    application should be.
    """
    parent, _, wanted = missing.rpartition(".")
    if parent:
        path = getattr(sys.modules.get(parent), "__path__", None)
        if path is None:
            return f"; {parent} is a module, not a package"
        folders = [Path(entry) for entry in path]
    else:
        if place := _suggest_folder(name, attribute, folder):
            return place
        folders = [folder]
    match = _find_closest(wanted, (found for entry in folders for found in _list_module_names(entry)))
    if not match:
        return ""
    return _format_suggestion(f"{parent}.{match}".lstrip(".") + name.removeprefix(missing), attribute)


def suggest_imported_module(missing: str) -> str:
    """Return "; did you mean …?" for a misspelt module, by the names of imported ones, or ""."""
    match = _find_closest(missing, sys.modules)
    return f"; did you mean {match}?" if match else ""


def suggest_package(error: BaseException, name: str, attribute: str, folder: Path) -> str:
    """Return the import string for a module in `folder` that imports from its own package, or "".

    `error` was raised when the module was imported from no package, or from one that begins further down.
    """
    top = _find_package_root(error, folder)
    if top is None:
        return ""
    package = folder.relative_to(top).parts
    return _format_suggestion(".".join((*package, name)), f"{attribute} --app-dir {os.path.relpath(top)}")


def _find_package_root(error: BaseException, folder: Path) -> Path | None:
    """Return the folder with the package that an application could not import and that contains `folder`, or None."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        wanted = error.name.partition(".")[0]
        return next(
            (each.parent for each in (folder, *folder.parents[:MAX_PARENT_FOLDERS]) if each.name == wanted), None
        )
    if not isinstance(error, ImportError) or "relative import" not in str(error):
        return None
    top = folder.parent
    while (top / "__init__.py").exists():
        top = top.parent
    return top


def suggest_attribute(owner: object, wanted: str) -> str:
    """Return the attribute of `owner` that was probably meant by one that does not exist, or ""."""
    public = [name for name in dir(owner) if not name.startswith("_")]
    names = [name for name in public if callable(inspect.getattr_static(owner, name, None))]
    return _find_closest(wanted, names) or next((name for name in COMMON_ATTRIBUTES if name in names), "")


def suggest_submodule(package: ModuleType, wanted: str) -> str:
    """Return the full name of the module of a package where the application probably is, or ""."""
    names = {name for entry in getattr(package, "__path__", ()) for name in _list_module_names(Path(entry))}
    name = next((name for name in (wanted, *COMMON_MODULES) if name in names), "")
    return f"{package.__name__}.{name}" if name else ""


def _find_closest(wanted: str, names: Iterable[str]) -> str:
    return next(iter(get_close_matches(wanted, sorted(names), 1)), "")


def _format_suggestion(module: str, attribute: str) -> str:
    return f"; did you mean {module}:{attribute}?"


def _suggest_folder(name: str, attribute: str, folder: Path) -> str:
    """Return the remedy for starting in the wrong folder: the module is one folder below, or up to two above."""
    for below in _list_subfolders(folder):
        if _has_module(below, name):
            if (below / "__init__.py").exists():
                return _format_suggestion(f"{below.name}.{name}", attribute)
            return f"; it is in {os.path.relpath(below)}: add --app-dir {os.path.relpath(below)}"
    for above in folder.parents[:MAX_PARENT_FOLDERS]:
        if _has_module(above, name):
            return f"; it is in {above}: add --app-dir {os.path.relpath(above)}"
    return ""


def _has_module(folder: Path, name: str) -> bool:
    path = folder.joinpath(*name.split("."))
    return path.with_name(f"{path.name}.py").is_file() or (path / "__init__.py").is_file()


def _list_module_names(folder: Path) -> Iterator[str]:
    """Yield the names of the modules and packages in a folder; a package may lack `__init__.py` (PEP 420)."""
    for entry in _list_entries(folder):
        if entry.suffix == ".py" and not entry.stem.startswith("__"):
            yield entry.stem
    for below in _list_subfolders(folder):
        if below.name.isidentifier() and any(entry.suffix == ".py" for entry in _list_entries(below)):
            yield below.name


def _list_subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder that could hold an application: not hidden, and no virtual environment."""
    folders = [entry for entry in _list_entries(folder) if not entry.name.startswith((".", "__"))]
    return [entry for entry in folders if entry.is_dir() and not (entry / "pyvenv.cfg").exists()]


def _list_entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
