"""Which form of the server runs: its modules as Python, or those that a build has compiled.

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
VARIABLE = "THREADSERVE_PURE"
PACKAGE = __name__.partition(".")[0]


class SourceFinder:
    """Finds the sources of the package's modules, also where an extension module lies beside them."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        if not name.startswith(f"{PACKAGE}."):
            return None
        for folder in path or ():
            spec = FileFinder(folder, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(name)
            if spec is not None and spec.loader is not None:
                return spec
        return None


def choose_form() -> None:
    """Has the Python form run if the environment asks for it; else the import system takes what it finds."""
    if is_pure_wanted():
        sys.meta_path.insert(0, SourceFinder)


def form() -> Literal["compiled", "interpreted"]:
    """Which form runs: a build compiles all of the modules that it can, or none."""
    return "interpreted" if SourceFinder in sys.meta_path or not has_extension_modules() else "compiled"


def is_pure_wanted() -> bool:
    """Whether the environment asks for the Python form."""
    return os.environ.get(VARIABLE, "").lower() not in ("", "0", "false", "no", "off")


def is_extension_module(module: object) -> bool:
    """Whether a module, of whatever package, is compiled."""
    return str(getattr(module, "__file__", None)).endswith(tuple(EXTENSION_SUFFIXES))


def has_extension_modules() -> bool:
    """Whether this interpreter could load an extension module of the package."""
    files = Path(__file__).parents[1].rglob("*.*")
    return any(file.name[file.name.index(".") :] in EXTENSION_SUFFIXES for file in files)
