"""The build hook of hatchling: compiles modules when a wheel is built, where there is a C compiler.

Runs in the process that builds a wheel. It owns a temporary folder, in which everything is compiled, and never writes
beside a source: an extension module there would win over it, newer or not. A wheel has all extension modules or none.
"""

import os
import shlex
import shutil
import sys
import sysconfig
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VARIABLE = "THREADSERVE_BUILD"
# By default the compiled form where that is possible.
PURE, COMPILED, EITHER = "pure", "compiled", ""

PACKAGE = "threadserve"
NEEDED = ["cython>=3.1", "setuptools>=77"]
DIRECTIVES = {
    "language_level": 3,
    # Without it the module turns the GIL on when it is imported.
    "freethreading_compatible": True,
    # `x: int` in a source would contradict `int x` in its .pxd.
    "annotation_typing": False,
}
COMPILER_OPTIONS = ["-O2", "-g0"]


class NotCompiled(Exception):
    """Why there is no compiled form, in a line."""


class BuildHook(BuildHookInterface[Any]):
    """Puts the extension modules into a wheel. An editable install has none, so that edits count."""

    _folder: TemporaryDirectory[str] | None = None

    def dependencies(self) -> list[str]:
        """What is to be installed before the build: nothing where nothing will be compiled."""
        is_needed = self._wanted() == COMPILED or (self._wanted() == EITHER and why_impossible() is None)
        return NEEDED if is_needed else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles. Where that fails, the wheel is the Python form, with a warning, unless the other is demanded."""
        if version == "editable" or self._wanted() == PURE:
            return
        self._folder = TemporaryDirectory(prefix=f"{PACKAGE}-")
        try:
            built = compile_modules(Path(self.root), Path(self._folder.name))
        except Exception as error:
            told = str(error) if isinstance(error, NotCompiled) else f"{type(error).__name__}: {error}"
            reason = " ".join(told.split())
            if self._wanted() == COMPILED:
                self.app.abort(f"Error: {VARIABLE} is {COMPILED}, but {PACKAGE} was not compiled: {reason}")
            self.app.display_warning(f"Warning: {PACKAGE} was not compiled and runs more slowly: {reason}")
            return
        build_data["force_include"].update(built)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes what has been compiled, which the wheel holds now."""
        if self._folder is not None:
            self._folder.cleanup()

    def _wanted(self) -> str:
        wanted = os.environ.get(VARIABLE, EITHER)
        if wanted not in (PURE, COMPILED, EITHER):
            self.app.abort(f"Error: {VARIABLE} is {wanted!r}, neither {PURE} nor {COMPILED}")
        return wanted


def why_impossible() -> str | None:
    """What is missing, of what nobody can install for a build alone."""
    if sys.implementation.name != "cpython":
        return f"{sys.implementation.name} gains nothing by it"
    compiler, *_ = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if shutil.which(compiler) is None:
        return f"there is no C compiler ({compiler})"
    if not (headers := Path(sysconfig.get_path("include"), "Python.h")).exists():
        return f"Python's headers are not installed ({headers})"
    return None


def compiled_sources(root: Path) -> list[Path]:
    """The sources that are compiled: every .pyx, and every .py with a .pxd beside it, as paths from the root.

    Raises `NotCompiled` for a .pyx without a .py beside it: there would be no Python form.
    """
    leaves = sorted((root / PACKAGE).rglob("*.pyx"))
    for leaf in leaves:
        if not leaf.with_suffix(".py").exists():
            raise NotCompiled(f"{leaf.relative_to(root)} has no Python form beside it")
    # The .pxd of an __init__ makes the folder a package to Cython.
    declared = [path.with_suffix(".py") for path in (root / PACKAGE).rglob("*.pxd") if path.stem != "__init__"]
    modules = [path for path in declared if path.exists() and not path.with_suffix(".pyx").exists()]
    return [path.relative_to(root) for path in sorted([*leaves, *modules])]


def compile_modules(root: Path, folder: Path) -> dict[str, str]:
    """Compiles in a folder; returns the extension modules' files with their places in the wheel."""
    if (reason := why_impossible()) is not None:
        raise NotCompiled(reason)
    sources = compiled_sources(root)
    if not sources:
        raise NotCompiled("there are no modules to compile")
    # Installed for the build, where there is anything to compile with.
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    extensions = [
        Extension(".".join(source.with_suffix("").parts), [str(source)], extra_compile_args=COMPILER_OPTIONS)
        for source in sources
    ]
    # The paths are those that tracebacks show, and that are looked for on the path then.
    with chdir(root):
        command = build_ext(
            Distribution(
                {
                    "ext_modules": cythonize(
                        extensions,
                        build_dir=str(folder / "c"),
                        compiler_directives=DIRECTIVES,
                        nthreads=os.cpu_count() or 1,
                        quiet=True,
                    )
                }
            )
        )
        command.build_lib, command.build_temp = str(folder / "lib"), str(folder / "objects")
        command.parallel = True
        command.ensure_finalized()
        command.run()
    return {
        str(path): str(path.relative_to(folder / "lib")) for path in (folder / "lib").rglob("*.*") if path.is_file()
    }
