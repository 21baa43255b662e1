"""How files of results are written."""

from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Writes a file, and its folders, in one step: nobody finds it half written, however this process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(text)
    beside.replace(path)
