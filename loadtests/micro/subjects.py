"""The subjects of a measurement: interpreters with a tree of threadserve's code, this one or that of a revision."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.errors import LoadTestError
from loadtests.generators import process
from loadtests.servers.interpreters import ROOT, Interpreter, environment, usable

# How long one of pyperf's processes may take beside its values, and for a value, on a busy machine.
START_SECONDS, VALUE_SECONDS = 30.0, 3.0
# Stands between an interpreter and a revision in a label.
AT = " at "
REQUIRED = ("click", "h11", "httptools", "pyperf", "uvloop", "wsproto")


@dataclass(frozen=True)
class Subject:
    """`label` names it and its file; `tree` is the folder that has the package threadserve."""

    label: str
    python: str
    tree: Path

    def measure(self, output: Path, names: Sequence[str], processes: int, values: int, cpu: int) -> None:
        """Add so many processes of each benchmark to pyperf's file `output`; raise LoadTestError where one fails."""
        effort = ["--processes", f"{processes}", "--values", f"{values}", "--affinity", f"{cpu}", "--copy-env"]
        line = [self.python, "-m", "loadtests.micro.process", "--quiet", *effort, "--append", str(output), *names]
        path = os.pathsep.join(map(str, dict.fromkeys((self.tree, ROOT))))
        # Otherwise Python would look for the package in the working directory before anything else.
        variables = environment() | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
        # One process more finds the number of repeats, and some benchmarks are run a second time for their switches.
        seconds = (START_SECONDS + VALUE_SECONDS * values) * (processes + 1) * 2 * len(names)
        process.run(line, seconds, name=f"{self.label}: the process", folder=ROOT, variables=variables)


def interpreters(paths: Sequence[Path]) -> dict[str, Interpreter]:
    """Return the interpreters at these paths by a label: their versions, numbered where that is not enough.

    Raises LoadTestError where one cannot be used or lacks what threadserve needs.
    """
    found: dict[str, Interpreter] = {}
    for number, path in enumerate(dict.fromkeys(path.absolute() for path in paths), start=1):
        interpreter = usable(path)
        if missing := interpreter.missing(REQUIRED):
            raise LoadTestError(missing)
        version = interpreter.version.split()[0] + ("t" if interpreter.free_threaded else "")
        found[f"{version}-{number}" if version in found else version] = interpreter
    return found


def subjects(found: dict[str, Interpreter], revision: str | None, folder: Path) -> list[Subject]:
    """Return the working tree with each interpreter, and before it the tree of a revision, which is put into `folder`.

    Raises LoadTestError where git knows no such revision.
    """
    result: list[Subject] = []
    if revision is not None:
        extract(revision, folder)
    for label, interpreter in found.items():
        if revision is not None:
            result.append(Subject(f"{label}{AT}{revision.replace('/', '-')}", interpreter.path, folder))
        result.append(Subject(label, interpreter.path, ROOT))
    return result


def extract(revision: str, folder: Path) -> None:
    """Put the package as it was at a revision into a folder; raise LoadTestError where git does not give it."""
    archive = folder / "tree.tar"
    line = ["git", "archive", f"--output={archive}", "--end-of-options", revision, "threadserve"]
    process.run(line, 0.0, name=f"git, which is to give the code at {revision},", folder=ROOT)
    shutil.unpack_archive(archive, folder, filter="data")
