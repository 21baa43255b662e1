"""The modules of the project, of which each instance has a copy, as opposed to those of libraries.

Runs on any thread that imports. It owns nothing but a cache about folders, and imports nothing of the project.
"""

import csv
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from pathlib import Path

INTERPRETER_FOLDERS = tuple({Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")})
PACKAGE_FOLDERS = frozenset({"site-packages", "dist-packages"})
# The server itself, and the program's main module, which has run already and cannot be imported.
NEVER_COPIED = frozenset({__name__.partition(".")[0], "__main__", "__mp_main__"})


@dataclass(frozen=True)
class Project:
    """The modules of an application: its own package wherever that is, and all modules outside libraries' folders.

    `package` is the outermost package or module of the application, without namespace packages, in which libraries may
    have parts as well. The modules in `shared`, and those within them, exist once.
    """

    package: str
    shared: Sequence[str] = ()

    def contains(self, name: str, spec: ModuleSpec | None) -> bool:
        """Return whether each instance has its own copy of a module; `spec` is the module's."""
        if spec is None or spec.name != name or is_within(name, (*NEVER_COPIED, *self.shared)):
            return False
        return is_copyable(spec) and (is_within(name, [self.package]) or not is_library(name, spec))


def is_within(name: str, packages: Sequence[str]) -> bool:
    """Return whether a module is one of these, or within one of them."""
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def is_copyable(spec: ModuleSpec) -> bool:
    """Return whether executing a module once more makes a copy, which is not so for extension modules."""
    if spec.submodule_search_locations is not None and not spec.has_location:
        return True
    return (
        spec.has_location and hasattr(spec.loader, "exec_module") and not isinstance(spec.loader, ExtensionFileLoader)
    )


def is_library(name: str, spec: ModuleSpec) -> bool:
    """Return whether a module is where the interpreter or an installer has put it."""
    folders = list_path_folders(name, spec)
    return not folders or any(is_library_folder(folder, name.partition(".")[0]) for folder in folders)


def is_library_module(name: str) -> bool:
    """Return whether the module of this name is a library's; False for a module that is not loaded."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return spec is not None and is_library(name, spec)


def list_path_folders(name: str, spec: ModuleSpec) -> list[Path]:
    """Return the folders on the path where a module's top-level package is; a namespace package has several."""
    locations = spec.submodule_search_locations
    depth = name.count(".")
    if spec.has_location and spec.origin:
        file = Path(spec.origin)
        parents = (file.parent if locations is not None else file).parents
        return [parents[depth]] if depth < len(parents) else []
    return [parents[depth] for location in locations or () if depth < len(parents := Path(location).parents)]


@cache
def is_library_folder(folder: Path, package: str) -> bool:
    """Return whether a folder on the path got this package from the interpreter or an installer."""
    if PACKAGE_FOLDERS.intersection(folder.parts) or any(folder.is_relative_to(place) for place in INTERPRETER_FOLDERS):
        return True
    return package in read_installed_packages(folder)


@cache
def read_installed_packages(folder: Path) -> frozenset[str]:
    """Return the top-level names that installers recorded in a folder or a zip file, as `pip install --target` does."""
    # Imported here, because it takes long and a server of one thread does without it.
    from importlib.metadata import distributions

    names: set[str] = set()
    for distribution in distributions(path=[str(folder)]):
        rows = csv.reader((distribution.read_text("RECORD") or "").splitlines())
        names.update(row[0].partition("/")[0].removesuffix(".py") for row in rows if row)
    return frozenset(names)
