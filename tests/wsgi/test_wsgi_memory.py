"""Large bodies pass through without being kept."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from support.server_process import ServerProcess
from support.waiting import DEADLINE

SIZE = 64 * 2**20
# What is freed is not always given back at once, the less so where another thread frees it.
GROWTH = SIZE // 2
PIECE = b"x" * 65536
SITE = """
def app(environ, start_response):
    stream, path = environ["wsgi.input"], environ["PATH_INFO"]
    size = sum(map(len, iter(lambda: stream.read(65536), b"")))
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/down":
        return (b"x" * 65536 for _ in range(1024))
    if path == "/file":
        return environ["wsgi.file_wrapper"](open("large", "rb"))
    return [str(size).encode()]
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server for the site above, beside a large file."""
    (tmp_path / "site_of_bodies.py").write_text(SITE)
    with (tmp_path / "large").open("wb") as large:
        large.truncate(SIZE)
    with ServerProcess("site_of_bodies:app", "--threads", "1", cwd=tmp_path) as server:
        yield server


@pytest.mark.parametrize("path", ["/up", "/down", "/file"])
def test_memory_does_not_grow_with_the_bodies(server: ServerProcess, path: str) -> None:
    process = psutil.Process(server.pid)
    with httpx.Client(base_url=server.url, timeout=3 * DEADLINE) as client:
        assert client.get("/").text == "0"
        before = process.memory_info().rss
        if path == "/up":
            assert client.post(path, content=(PIECE for _ in range(SIZE // len(PIECE)))).text == str(SIZE)
        else:
            with client.stream("GET", path) as response:
                assert sum(map(len, response.iter_raw())) == SIZE
    assert process.memory_info().rss - before < GROWTH
