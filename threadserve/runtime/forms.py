"""The form of the server that runs: its modules as Python, or those that a build has compiled.

Runs on whichever thread first imports the package, before that imports anything else of it. It owns one of the import
system's finders, or nothing.
"""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Literal

# The environment takes it to worker processes.
PURE_VARIABLE = "THREADSERVE_PURE"
PACKAGE = __name__.partition(".")[0]
PACKAGE_FOLDER = Path(__file__).parents[1]


class SourceFinder:
    """A finder of the sources of the package's modules, also where there is an extension module in their folder."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return a module's spec as an `importlib.abc.MetaPathFinder` does."""
        if not name.startswith(f"{PACKAGE}."):
            return None
        for folder in path or ():
            spec = FileFinder(folder, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(name)
            if spec is not None and spec.loader is not None:
                return spec
        return None


def choose_form() -> None:
    """Choose the Python form if the environment asks for it; else the import system takes what it finds."""
    if is_python_form_wanted():
        sys.meta_path.insert(0, SourceFinder)


def get_form() -> Literal["compiled", "interpreted"]:
    """Return the form that runs: a build compiles all of the modules that it can, or none."""
    return "interpreted" if SourceFinder in sys.meta_path or not has_extension_modules() else "compiled"


def is_python_form_wanted() -> bool:
    """Return whether the environment asks for the Python form."""
    return os.environ.get(PURE_VARIABLE, "").lower() not in ("", "0", "false", "no", "off")


def is_extension_module(module: object) -> bool:
    """Return whether a module, of whatever package, is compiled."""
    return str(getattr(module, "__file__", None)).endswith(tuple(EXTENSION_SUFFIXES))


def has_extension_modules() -> bool:
    """Return whether this interpreter can load an extension module of the package."""
    files = Path(__file__).parents[1].rglob("*.*")
    return any(file.name[file.name.index(".") :] in EXTENSION_SUFFIXES for file in files)
