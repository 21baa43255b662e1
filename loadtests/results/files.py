"""How files of results are written."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from loadtests.servers.interpreters import ROOT


def replace_text(path: Path, text: str) -> None:
    """Writes a file, and its folders, in one step: nobody finds it half written, however this process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(text)
    beside.replace(path)


def portable(command: Sequence[str]) -> list[str]:
    """A command line as it is kept: without the folder of this clone, and without that of temporary files."""
    return [part.removeprefix(f"{ROOT}/").removeprefix(f"{tempfile.gettempdir()}/") for part in command]
