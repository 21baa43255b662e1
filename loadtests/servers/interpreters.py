"""The interpreters that serve: where they are, and what is installed there."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from loadtests.errors import require
from loadtests.generators import process
from loadtests.servers.commands import Build

ROOT = Path(__file__).parent.parent.parent
# The type of the options that take an interpreter's path.
INTERPRETER = click.Path(exists=True, dir_okay=False, executable=True, path_type=Path)
DEFAULTS: dict[Build, Path] = {
    "ordinary": ROOT / "build/loadtests/3.13/bin/python",
    "free-threaded": ROOT / "build/loadtests/3.13t/bin/python",
}
HIDDEN_SETTINGS = (
    *("PYTHON", "THREADSERVE_", "UVICORN_", "GRANIAN_", "H2CORN_", "GUNICORN_", "LOCUST_"),
    *("WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"),
)

# Everything that is installed is imported, which takes a slow machine long.
PROBE_SECONDS = 60.0
# Run by the interpreter itself. Importing what is installed shows whether one of the extensions turns the GIL on.
PROBE = """
import contextlib, importlib, importlib.metadata, json, sys, sysconfig
packages = {}
for name in ("threadserve", "uvicorn", "granian", "h2corn", "hypercorn", "daphne", "gunicorn", "waitress", "cheroot",
             "uvloop", "httptools", "h11", "h2", "gunicorn_h1c", "twisted", "click", "wsproto", "websockets", "fastapi",
             "starlette", "pydantic", "pydantic_core", "flask", "werkzeug", "django", "jinja2", "pyperf"):
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
        packages[name] = importlib.metadata.version(name)
form = ""
with contextlib.suppress(ImportError):
    form = importlib.import_module("threadserve.runtime.forms").get_form()
print(json.dumps({
    "version": sys.version,
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "gil_enabled": getattr(sys, "_is_gil_enabled", lambda: True)(),
    "packages": packages,
    "form": form,
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """One interpreter and the versions of what it has installed; `form` is that of threadserve, "" without it."""

    path: str
    version: str
    free_threaded: bool
    gil_enabled: bool
    packages: dict[str, str]
    form: str = ""

    def facts(self) -> dict[str, Any]:
        """Return all of it, as JSON takes it; the path within this clone where it is there."""
        return asdict(self) | {"path": self.path.removeprefix(f"{ROOT}/")}

    @property
    def build(self) -> Build:
        """The kind of interpreter."""
        return "free-threaded" if self.free_threaded else "ordinary"

    @property
    def short_version(self) -> str:
        """The version such as 3.13, and 3.13t where it is free-threaded."""
        return ".".join(self.version.split()[0].split(".")[:2]) + ("t" if self.free_threaded else "")

    def missing(self, names: Iterable[str]) -> str:
        """Return one line on those of these packages that are not installed; "" where all of them are."""
        absent = sorted(set(names) - set(self.packages))
        return f"{self.path} lacks {', '.join(absent)}: see loadtests/README.md" if absent else ""


def find(build: Build, given: Path | None) -> Interpreter:
    """Return the interpreter that was given, or the one in the documented place.

    Raises LoadTestError where there is none, it is of the other build, or runs with the GIL although it need not.
    """
    interpreter = usable((given or DEFAULTS[build]).absolute())
    require(interpreter.build == build, f"{interpreter.path} is no {build} interpreter")
    return interpreter


def usable(path: Path) -> Interpreter:
    """Ask an interpreter about itself.

    Raises LoadTestError where it does not answer, or runs with the GIL although it need not.
    """
    line = [str(path), "-P", "-c", PROBE]
    told = process.run(line, PROBE_SECONDS, name=str(path), folder=ROOT, variables=environment())
    interpreter = Interpreter(path=str(path), **json.loads(told))
    turns_on = interpreter.free_threaded and interpreter.gil_enabled
    require(not turns_on, f"{path} is free-threaded, but something installed there turns the GIL on")
    return interpreter


def environment() -> dict[str, str]:
    """Return this process's environment without what would configure an interpreter or a server behind our back."""
    return {name: value for name, value in os.environ.items() if not name.startswith(HIDDEN_SETTINGS)}
