"""A server of several processes: the real supervisor, and what its log tells about its workers."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from support.editable_site import replace_code
from support.raw_client import Connect, RawClient, clients, request
from support.server_process import ServerProcess
from support.waiting import DEADLINE, wait_until

TESTS = str(Path(__file__).parents[1])
STARTED = re.compile(r"Started server process \[(\d+)\]")
# A module that is executed anew by every process; what it tells on stdout says which code that has.
CODE = f"""
import sys

sys.path.append({TESTS!r})

from support.steered_app import app, tell
"""


class Workers(ServerProcess):
    """The steered application with `--workers`, from a module in `folder` that tells its `word` when it is imported."""

    def __init__(
        self, folder: Path, *options: str, count: int = 2, env: dict[str, str] | None = None, more: str = ""
    ) -> None:
        self.folder = folder
        self.write_code("first code", more)
        super().__init__(
            "code:app",
            *("--app-dir", str(folder), "--workers", str(count), "--threads", "1"),
            *options,
            # Code that changes within a second must not be taken from the cache.
            env={"PYTHONDONTWRITEBYTECODE": "1", "WEB_CONCURRENCY": "", **(env or {})},
        )

    def write_code(self, word: str, more: str = "") -> None:
        """Changes the code that new processes load."""
        replace_code(self.folder / "code.py", f"{CODE}\ntell({word!r})\n{more}\n")

    @property
    def pids(self) -> list[int]:
        """The ids of all workers that have begun to serve, in that order, the ended ones included."""
        return [int(match[1]) for match in STARTED.finditer(self.stderr)]

    def wait_for_starts(self, count: int) -> list[int]:
        """Waits until so many workers have begun to serve in all; returns the ids of all of them."""
        wait_until(lambda: len(self.pids) >= count, f"{count} starts, of {self.pids}", 3 * DEADLINE)
        return self.pids

    def wait_for_end_of(self, *pids: int) -> None:
        """Waits until these workers have said that they have finished."""
        for pid in pids:
            self.wait_for_line(rf"Finished server process \[{pid}\]")

    def answering(self, tries: int = 40) -> set[int]:
        """The ids of the processes that answer on so many new connections, all open at once."""
        with clients() as connect:
            opened = [connect(self) for _ in range(tries)]
            for client in opened:
                client.send(request(target="/pid"))
            return {int(client.read_response().body) for client in opened}

    def kill(self) -> None:
        """Ends the supervisor, and workers that were stopped for a test and cannot notice it."""
        super().kill()
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


StartWorkers = Callable[..., Workers]


@contextmanager
def worker_servers(folder: Path) -> Iterator[StartWorkers]:
    """Gives a function that starts such servers, and waits until all workers serve; ends them all."""
    with ExitStack() as stack:

        def start(*options: str, wait: bool = True, **more: Any) -> Workers:
            server = Workers(folder, *options, **more)
            server.start(wait=wait)
            stack.callback(server.kill)
            return server

        yield start


def one_client_each(server: Workers, connect: Connect, *pids: int) -> dict[int, RawClient]:
    """A connection to each of these workers."""
    found: dict[int, RawClient] = {}

    def look() -> bool:
        client = connect(server)
        found.setdefault(int(client.get("/pid").body), client)
        return found.keys() >= {*pids}

    wait_until(look, f"connections to {pids}")
    return {pid: found[pid] for pid in pids}


def chunk(data: bytes) -> bytes:
    """One chunk of a body; an empty one ends it."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def begin_upload(client: RawClient, target: str = "/upload") -> None:
    """Sends a request but for the end of its body."""
    client.send(request("POST", target, "Transfer-Encoding: chunked") + chunk(b"begun "))
