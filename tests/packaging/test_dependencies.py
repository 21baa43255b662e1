"""The server without what only its extras have."""

import os
from pathlib import Path

from support.raw_client import RawClient
from support.server_process import PACKAGE_ROOT, ServerProcess

EXTRAS = ("dotenv", "gunicorn", "h2", "hpack", "httptools", "hyperframe", "watchfiles", "websockets", "yaml")
APP = """
import sys

async def app(scope, receive, send):
    loaded = [name for name in sys.modules if name.partition(".")[0] in {hidden} and sys.modules[name]]
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": repr(loaded).encode()}})
"""


def test_it_serves(tmp_path: Path) -> None:
    # What makes them look as if they were not installed.
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({EXTRAS}))\n")
    (tmp_path / "main.py").write_text(APP.format(hidden=EXTRAS))
    path = os.pathsep.join([str(tmp_path), str(PACKAGE_ROOT)])
    with ServerProcess("main:app", env={"PYTHONPATH": path}, cwd=tmp_path) as server:
        client = RawClient(server.host, server.port)
        assert client.get().body == b"[]"
        client.socket.close()
        assert server.stop() == 0
