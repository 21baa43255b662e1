"""How much a server's memory grows while a large body goes through it.

`python -m loadtests.clients.streaming PORT PID SIZE` is the client, a process of its own. It sends SIZE bytes and reads
as many, after a small body each way for warming up. It pauses before it reads, so a server that does not wait for its
client shows. The growth is that of the RSS of the server's processes: the greatest while the body is on its way, beyond
what it was before.
"""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass

from loadtests.clients import frames, process
from loadtests.errors import LoadTestError
from loadtests.servers import memory

SIZE = 200_000_000
WARM_UP_SIZE = 2_000_000
PIECE = bytes(65536)
PAUSE = 0.5
LOOK_EVERY = 0.01


@dataclass(frozen=True)
class StreamingResult:
    """MB that the server has grown by, and the seconds it took."""

    grown_by_upload: float
    grown_by_download: float
    upload_seconds: float
    download_seconds: float


def upload(port: int, size: int) -> None:
    """Posts so many bytes; raises LoadTestError unless the app has read them all."""
    with closing(socket.create_connection(("127.0.0.1", port), 60)) as connected:
        connected.sendall(
            b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size
        )
        for _ in range(size // len(PIECE)):
            connected.sendall(PIECE)
        connected.sendall(PIECE[: size % len(PIECE)])
        answer = b"".join(iter(lambda: connected.recv(65536), b""))
    if not answer.startswith(b"HTTP/1.1 200") or str(size).encode() not in answer.partition(b"\r\n\r\n")[2]:
        raise LoadTestError(f"the server did not take {size} bytes: {answer[:200]!r}")


def download(port: int, size: int) -> None:
    """Reads so many bytes, with the framing around them; raises LoadTestError where there are fewer."""
    with closing(socket.create_connection(("127.0.0.1", port), 60)) as connected:
        connected.sendall(b"GET /down?%d HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n" % size)
        time.sleep(PAUSE)
        head, rest = frames.read_head(connected)
        got = len(rest) + sum(map(len, iter(lambda: connected.recv(65536), b"")))
    if not head.startswith(b"HTTP/1.1 200") or got < size:
        raise LoadTestError(f"the server sent {got} of {size} bytes: {head[:80]!r}")


class Watch(threading.Thread):
    """Looks at the memory of a tree of processes again and again and keeps the greatest."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._tree = memory.tree(pid)
        self._over = threading.Event()
        self.before = self.greatest = self._look()

    def _look(self) -> int:
        return sum(member.memory_info().rss for member in self._tree)

    def run(self) -> None:
        while not self._over.wait(LOOK_EVERY):
            self.greatest = max(self.greatest, self._look())

    def end(self) -> float:
        """Ends the thread; returns by how many MB the tree has grown at most."""
        self._over.set()
        self.join()
        return (max(self.greatest, self._look()) - self.before) / memory.MEGABYTE


def watched(pid: int, stream: Callable[[int, int], None], port: int, size: int) -> tuple[float, float]:
    """The growth in MB while the body goes through, and how many seconds that took."""
    watch = Watch(pid)
    watch.start()
    began = time.perf_counter()
    try:
        stream(port, size)
    finally:
        grown = watch.end()
    return grown, time.perf_counter() - began


def measure(port: int, pid: int, size: int) -> StreamingResult:
    for stream in (upload, download):
        stream(port, WARM_UP_SIZE)
    up, up_seconds = watched(pid, upload, port, size)
    down, down_seconds = watched(pid, download, port, size)
    return StreamingResult(up, down, up_seconds, down_seconds)


def run(port: int, pid: int) -> StreamingResult:
    """Runs the client as a process; raises LoadTestError where it fails."""
    return StreamingResult(**process.run("streaming", port, pid, SIZE))


if __name__ == "__main__":
    print(json.dumps(asdict(measure(*map(int, sys.argv[1:])))))
