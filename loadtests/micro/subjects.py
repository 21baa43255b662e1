"""The subjects of a measurement: interpreters with a tree of threadserve's code, this one or that of a revision."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.errors import LoadTestError
from loadtests.generators import process
from loadtests.servers.interpreters import ROOT, Interpreter, environment, usable

# How long a process may take for each benchmark; a repeat takes a millisecond of CPU time, more on a busy machine.
START_SECONDS, REPEAT_SECONDS = 30.0, 0.1
REQUIRED = ("click", "h11", "httptools", "uvloop", "wsproto")


@dataclass(frozen=True)
class Subject:
    """`label` names it in tables; `tree` is the folder that has the package threadserve."""

    label: str
    python: str
    tree: Path
    revision: str = ""

    def measure(self, names: Sequence[str], repeats: int, cpu: int, seed: int) -> list[tuple[str, float, float]]:
        """Return name, microseconds and switches of each benchmark in one process; raise LoadTestError where it fails.

        The seed is for hashes: the order of things in memory makes some operations quicker.
        """
        # Without -P Python would look for the package in the working directory before anything else.
        line = [self.python, "-P", "-m", "loadtests.micro.process", str(self.tree), str(cpu), str(repeats), *names]
        path = os.pathsep.join(map(str, dict.fromkeys((self.tree, ROOT))))
        variables = environment() | {"PYTHONPATH": path, "PYTHONHASHSEED": str(seed)}
        seconds = (START_SECONDS + REPEAT_SECONDS * repeats) * len(names)
        told, _ = process.run(line, seconds, name=f"{self.label}: the process", folder=ROOT, variables=variables)
        return [tuple(json.loads(line)) for line in told.splitlines()]


def interpreters(paths: Sequence[Path]) -> dict[str, Interpreter]:
    """Return the interpreters at these paths by a label: their versions, with the path where that is not enough.

    Raises LoadTestError where one cannot be used or lacks what threadserve needs.
    """
    found: dict[str, Interpreter] = {}
    for path in dict.fromkeys(path.absolute() for path in paths):
        interpreter = usable(path)
        if missing := interpreter.missing(REQUIRED):
            raise LoadTestError(missing)
        version = interpreter.version.split()[0] + ("t" if interpreter.free_threaded else "")
        found[f"{version} {path}" if version in found else version] = interpreter
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
            result.append(Subject(f"{label} at {revision}", interpreter.path, folder, revision))
        result.append(Subject(label, interpreter.path, ROOT))
    return result


def extract(revision: str, folder: Path) -> None:
    """Put the package as it was at a revision into a folder; raise LoadTestError where git does not give it."""
    archive = folder / "tree.tar"
    line = ["git", "archive", f"--output={archive}", "--end-of-options", revision, "threadserve"]
    process.run(line, 0.0, name=f"git, which is to give the code at {revision},", folder=ROOT)
    shutil.unpack_archive(archive, folder, filter="data")
