"""The installed command, called in a folder that has a package of the server's name: a clone of its repository."""

from pathlib import Path

from support.raw_client import RawClient
from support.server_process import ServerProcess

import threadserve

APP = """
import threadserve

async def app(scope, receive, send):
    import threadserve.middleware.proxy_headers as late
    files = [threadserve.__file__, late.__file__]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": "\\n".join(files).encode()})
"""


class Command(ServerProcess):
    """The command that an installer makes, in a folder of its own, in place of `python -m threadserve`."""

    def __init__(self, folder: Path, app: str, *options: str, cwd: Path) -> None:
        super().__init__(app, *options, cwd=cwd)
        script = folder / "threadserve"
        script.write_text("from threadserve.cli import main\n\nif __name__ == '__main__':\n    main()\n")
        self.command[1:3] = [str(script)]


def test_the_installed_server_serves_in_all_its_processes(tmp_path: Path) -> None:
    clone, scripts = tmp_path / "clone", tmp_path / "bin"
    (clone / "threadserve" / "middleware").mkdir(parents=True)
    scripts.mkdir()
    for file in ("__init__.py", "middleware/__init__.py", "middleware/proxy_headers.py"):
        (clone / "threadserve" / file).write_text("raise ImportError('the clone is imported')\n")
    (clone / "main.py").write_text(APP)
    with Command(scripts, "main:app", "--workers", "1", cwd=clone) as server:
        client = RawClient(server.host, server.port)
        files = client.get().body.decode().splitlines()
        client.socket.close()
        assert server.stop() == 0
    package = Path(threadserve.__file__).parent
    assert files == [str(package / "__init__.py"), str(package / "middleware" / "proxy_headers.py")]
