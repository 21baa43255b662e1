"""What is measured: an interpreter with a tree of threadserve's code, this one or that of a revision."""

import subprocess
import tarfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from loadtests.errors import LoadTestError
from loadtests.servers.interpreters import ROOT, Interpreter, usable

GIT_SECONDS = 60
REQUIRED = ("click", "h11", "httptools", "uvloop", "wsproto")


@dataclass(frozen=True)
class Subject:
    """`label` names it in tables; `tree` is the folder that has the package threadserve."""

    label: str
    python: str
    tree: Path
    revision: str = ""


def interpreters(paths: Sequence[Path]) -> dict[str, Interpreter]:
    """The interpreters at these paths by a label: their versions, with the path where that is not enough.

    Raises LoadTestError where one cannot be used or lacks what threadserve needs.
    """
    found = [usable(path) for path in dict.fromkeys(path.absolute() for path in paths)]
    for interpreter in found:
        if missing := interpreter.missing(REQUIRED):
            raise LoadTestError(missing)
    versions = [one.version.split()[0] + ("t" if one.free_threaded else "") for one in found]
    counts = Counter(versions)
    return {
        version if counts[version] == 1 else f"{version} {one.path}": one
        for version, one in zip(versions, found, strict=True)
    }


def subjects(found: dict[str, Interpreter], revision: str | None, folder: Path) -> list[Subject]:
    """The working tree with each interpreter, and before it the tree of a revision, which is put into `folder`.

    Raises LoadTestError where git knows no such revision.
    """
    if revision is not None:
        extract(revision, folder)
    result: list[Subject] = []
    for label, interpreter in found.items():
        if revision is not None:
            result.append(Subject(f"{label} at {revision}", interpreter.path, folder, revision))
        result.append(Subject(label, interpreter.path, ROOT))
    return result


def extract(revision: str, folder: Path) -> None:
    """Puts the package as it was at a revision into a folder; raises LoadTestError where git does not give it."""
    line = ["git", "archive", "--format=tar", "--end-of-options", revision, "threadserve"]
    try:
        done = subprocess.run(line, cwd=ROOT, capture_output=True, timeout=GIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LoadTestError(f"git does not give the code at {revision}: {error}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise LoadTestError(f"git does not give the code at {revision}: {said[-1] if said else 'it says nothing'}")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
