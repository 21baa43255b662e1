"""A module with an application that a test edits while a server runs it. Its server needs `environment()`."""

import os
from pathlib import Path

from support.server_process import PACKAGE_ROOT

CODE = """\
import os

from support.apps import read_body, respond


class App:
    async def __call__(self, scope, receive, send):
        assert scope["type"] == "http"
        answers = {{
            "/": "hello",
            "/version": {version!r},
            "/pid": str(os.getpid()),
            "/instance": f"{{os.getpid()}} {{id(self)}}",
            "/scheme": scope["scheme"],
            "/upload": (await read_body(receive)).decode(),
        }}
        await respond(send, answers[scope["path"]].encode())


def create_app():
    return App()


app = create_app()
"""


def write_site(folder: Path, version: str = "1") -> Path:
    """Writes the module `site_app`, whose application says at `/version` which one it is; returns its file."""
    path = folder / "site_app.py"
    replace_code(path, CODE.format(version=version))
    return path


def replace_code(path: Path, code: str) -> None:
    """Gives a module other code in one step: nobody finds the half of it, or notices two changes."""
    draft = path.with_suffix(".draft")
    draft.write_text(code)
    draft.replace(path)


def environment(folder: Path) -> dict[str, str]:
    """The module imports these tests' support, and no bytecode hides an edit that is within the same second."""
    folders = [str(folder), str(PACKAGE_ROOT), str(PACKAGE_ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, folders)), "PYTHONDONTWRITEBYTECODE": "1"}
