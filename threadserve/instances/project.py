"""Which modules are the project's, and so are there once for each instance of the application, and which a library's.

Runs on whichever thread imports. It owns nothing but what it remembers of folders, and imports nothing of the project.
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
# The server has one copy for all, and so has the program's main module, which has run and cannot be imported.
NEVER_COPIED = frozenset({__name__.partition(".")[0], "__main__", "__mp_main__"})


@dataclass(frozen=True)
class Project:
    """The modules of an application: its own package, wherever that lies, and all that lies in no library's place.

    `package` is the outermost package or module of the application, except for namespaces, in which libraries may have
    parts as well. Modules in `shared`, and those within them, are there once.
    """

    package: str
    shared: Sequence[str] = ()

    def has(self, name: str, spec: ModuleSpec | None) -> bool:
        """Whether a module is to be there for each instance; `spec` is what it was or is to be loaded by."""
        if spec is None or spec.name != name or is_within(name, (*NEVER_COPIED, *self.shared)):
            return False
        return is_copyable(spec) and (is_within(name, [self.package]) or not is_library(name, spec))


def is_within(name: str, packages: Sequence[str]) -> bool:
    """Whether a module is one of these, or within one of them."""
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def is_copyable(spec: ModuleSpec) -> bool:
    """Whether executing a module again gives another: not so what is compiled into the process once."""
    if spec.submodule_search_locations is not None and not spec.has_location:
        return True
    return (
        spec.has_location and hasattr(spec.loader, "exec_module") and not isinstance(spec.loader, ExtensionFileLoader)
    )


def is_library(name: str, spec: ModuleSpec) -> bool:
    """Whether a module lies where the interpreter or an installer has put it."""
    folders = list_path_folders(name, spec)
    return not folders or any(is_library_folder(folder, name.partition(".")[0]) for folder in folders)


def is_library_module(name: str) -> bool:
    """The same of a module by its name, as classes and frames know it; one that is not loaded is none."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return spec is not None and is_library(name, spec)


def list_path_folders(name: str, spec: ModuleSpec) -> list[Path]:
    """The folders on the path in which a module's top-level package was found: of a namespace package several."""
    locations = spec.submodule_search_locations
    depth = name.count(".")
    if spec.has_location and spec.origin:
        file = Path(spec.origin)
        parents = (file.parent if locations is not None else file).parents
        return [parents[depth]] if depth < len(parents) else []
    return [parents[depth] for location in locations or () if depth < len(parents := Path(location).parents)]


@cache
def is_library_folder(folder: Path, package: str) -> bool:
    """Whether a folder on the path has been given this package by the interpreter's makers or an installer."""
    if PACKAGE_FOLDERS.intersection(folder.parts) or any(folder.is_relative_to(place) for place in INTERPRETER_FOLDERS):
        return True
    return package in read_installed_packages(folder)


@cache
def read_installed_packages(folder: Path) -> frozenset[str]:
    """The top-level names that installers have recorded in a folder or a zip file, as `pip install --target` does."""
    # Here, because it takes longer to import than all of the server's rooms do that one thread is served without.
    from importlib.metadata import distributions

    names: set[str] = set()
    for distribution in distributions(path=[str(folder)]):
        rows = csv.reader((distribution.read_text("RECORD") or "").splitlines())
        names.update(row[0].partition("/")[0].removesuffix(".py") for row in rows if row)
    return frozenset(names)
