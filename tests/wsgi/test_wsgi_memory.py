"""Large bodies pass through without being kept."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import httpx
import psutil
import pytest
from support.server_process import ServerProcess
from support.waiting import DEADLINE

SIZE = 256 * 2**20
# Free-threaded 3.13 allocates in segments of 32 MiB. What one thread frees of another's is not used again at once, so
# that the process grows and shrinks by one of them, or a little more, however large the bodies are.
GROWTH = SIZE // 2
PIECE = b"x" * 65536
PIECES = SIZE // len(PIECE)
LOOK_EVERY = 64
T = TypeVar("T")
SITE = f"""
def app(environ, start_response):
    stream, path = environ["wsgi.input"], environ["PATH_INFO"]
    size = sum(map(len, iter(lambda: stream.read(65536), b"")))
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/down":
        return (b"x" * 65536 for _ in range({PIECES}))
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


class Memory:
    """How far the memory of a process has grown, at the most of the times that it was looked at."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._before = self._process.memory_info().rss
        self.growth = 0

    def look(self) -> None:
        """Notes how far it has grown by now."""
        self.growth = max(self.growth, self._process.memory_info().rss - self._before)

    def watched(self, pieces: Iterable[T]) -> Iterator[T]:
        """The pieces of a body, looking now and then while they pass, and behind the last of them."""
        for number, piece in enumerate(pieces):
            yield piece
            if number % LOOK_EVERY == 0:
                self.look()
        self.look()


@pytest.mark.parametrize("path", ["/up", "/down", "/file"])
def test_memory_does_not_grow_with_the_bodies(server: ServerProcess, path: str) -> None:
    """Neither while they pass nor behind them."""
    with httpx.Client(base_url=server.url, timeout=3 * DEADLINE) as client:
        assert client.get("/").text == "0"
        memory = Memory(server.pid)
        if path == "/up":
            assert client.post(path, content=memory.watched([PIECE] * PIECES)).text == str(SIZE)
        else:
            with client.stream("GET", path) as response:
                assert sum(map(len, memory.watched(response.iter_raw()))) == SIZE
        memory.look()
    assert memory.growth < GROWTH
