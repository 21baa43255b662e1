"""Well-behaved clients that check every answer, and tell of each failure which server process and thread it befell.

`python -m loadtests.clients.steady PORT USERS SECONDS` is the client, a process of its own with a thread for each user.
Each user keeps to one kind of traffic, with a moment between requests. The application says in the header
`x-served-by` which process and thread answers. It prints a `SteadyResult` as JSON, at SIGTERM as well.
"""

import http.client
import itertools
import json
import random
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from loadtests.clients import until_stopped

HOST = "127.0.0.1"
PATIENCE = 30.0
THINK_SECONDS = 0.05
# A server may close a connection that is idle. One that was used within the last second it keeps for the next request.
FRESH_SECONDS = 0.5
SERVED_BY = "x-served-by"
# How a server says that it goes away: it is restarted, or stopped. Whoever wants to go on connects anew.
GOING_AWAY = (1001, 1012)
UPLOADED = 200_000
DOWNLOADED = 300_000
STREAMED_LINES = 50
EVENTS = 10
MESSAGES = 20


@dataclass(frozen=True)
class Failure:
    """A request or a WebSocket that went wrong; `time` is in seconds since the epoch.

    `served_by` is the process and the thread, as in "4711 threadserve-2", or "" where the connection has not told it.
    """

    time: float
    kind: str
    error: str
    served_by: str


@dataclass
class SteadyResult:
    """How many requests and WebSocket messages of each kind were answered, and what went wrong."""

    answered: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


class Wrong(Exception):
    """An answer is not the one that was due."""


class HttpUser:
    """One connection at a time, kept open between requests unless it `is_forgetful`."""

    def __init__(self, port: int, *, is_forgetful: bool = False) -> None:
        self.served_by = ""
        self._is_forgetful = is_forgetful
        self._connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
        self._used_at = 0.0

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> bytes:
        """One request; returns the body of its answer. Raises Wrong unless that is a 200, OSError, HTTPException."""
        now = time.monotonic()
        if self._is_forgetful or now - self._used_at > FRESH_SECONDS:
            self.close()
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        self.served_by = response.getheader(SERVED_BY, "")
        answer = response.read()
        # Not when the answer was read: the server may have been done with it long before.
        self._used_at = now
        require(response.status == 200, f"{response.status}: {answer[:80]!r}")
        if response.will_close:
            self.close()
        return answer

    def close(self) -> None:
        """The next request opens a connection."""
        self._connection.close()
        self.served_by = ""


def require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise Wrong(otherwise)


def pages(user: HttpUser) -> None:
    """A page, a list and an order."""
    require(b"/static/style.css" in user.ask("GET", "/"), "not the page")
    json.loads(user.ask("GET", "/api/items?page=1"))
    order = json.dumps({"item": 1, "quantity": 2})
    json.loads(user.ask("POST", "/api/orders", order, **{"Content-Type": "application/json"}))


def uploads(user: HttpUser) -> None:
    """A body with its length, and one in chunks."""
    piece = b"x" * (UPLOADED // 10)
    for body in (piece * 10, itertools.repeat(piece, 10)):
        taken = json.loads(user.ask("POST", "/upload", body))["bytes"]
        require(taken == UPLOADED, f"{taken} of {UPLOADED} bytes arrived")


def downloads(user: HttpUser) -> None:
    """A large body, and one that is streamed."""
    size = len(user.ask("GET", f"/download?bytes={DOWNLOADED}"))
    require(size == DOWNLOADED, f"{size} of {DOWNLOADED} bytes came")
    lines = user.ask("GET", f"/stream?lines={STREAMED_LINES}").count(b"\n")
    require(lines == STREAMED_LINES, f"{lines} of {STREAMED_LINES} lines came")


def events(user: HttpUser) -> None:
    """Server-sent events."""
    count = user.ask("GET", f"/events?count={EVENTS}&interval=0.05").count(b"data:")
    require(count == EVENTS, f"{count} of {EVENTS} events came")


Visit = Callable[[HttpUser], None]
# The kinds of traffic over HTTP, each with whether it is on a new connection every time.
VISITS: dict[str, tuple[Visit, bool]] = {
    "pages": (pages, False),
    "new connections": (pages, True),
    "uploads": (uploads, False),
    "downloads": (downloads, False),
    "events": (events, False),
}
CHAT = "chat"


class Clients:
    """All users of one process. Each thread adds to `result`."""

    def __init__(self, port: int, stopped: until_stopped.Stopped) -> None:
        self.result = SteadyResult()
        self._lock = threading.Lock()
        self._port = port
        self._stopped = stopped

    def live(self, number: int) -> None:
        """One user's life, to be run by a thread of its own."""
        kinds = (*VISITS, CHAT)
        kind = kinds[number % len(kinds)]
        if kind == CHAT:
            self._chat(number)
        else:
            self._visit(kind)

    def _visit(self, kind: str) -> None:
        visit, is_forgetful = VISITS[kind]
        user = HttpUser(self._port, is_forgetful=is_forgetful)
        with ExitStack() as stack:
            stack.callback(user.close)
            while not self._stopped.wait(random.uniform(0, 2 * THINK_SECONDS)):
                try:
                    visit(user)
                except (Wrong, ValueError, LookupError, OSError, http.client.HTTPException) as error:
                    self._fail(kind, error, user.served_by)
                    user.close()
                else:
                    self._count(kind)

    def _chat(self, number: int) -> None:
        while not self._stopped.wait(THINK_SECONDS):
            served_by = ""
            try:
                with connect(f"ws://{HOST}:{self._port}/chat?room=steady-{number}", open_timeout=PATIENCE) as socket:
                    served_by = socket.response.headers.get(SERVED_BY, "") if socket.response else ""
                    self._talk(socket)
            except ConnectionClosed as error:
                if error.rcvd is None or error.rcvd.code not in GOING_AWAY:
                    self._fail(CHAT, error, served_by)
            except (Wrong, OSError, WebSocketException) as error:
                self._fail(CHAT, error, served_by)

    def _talk(self, socket: ClientConnection) -> None:
        for number in range(MESSAGES):
            if self._stopped.wait(random.uniform(0, 2 * THINK_SECONDS)):
                return
            message = json.dumps({"text": f"message {number}"})
            socket.send(message)
            came = socket.recv(PATIENCE)
            require(json.loads(came) == json.loads(message), f"another message came back: {came[:80]!r}")
            self._count(CHAT)

    def _count(self, kind: str) -> None:
        with self._lock:
            self.result.answered[kind] = self.result.answered.get(kind, 0) + 1

    def _fail(self, kind: str, error: Exception, served_by: str) -> None:
        text = f"{type(error).__name__}: {error}"
        self.result.failures.append(Failure(time.time(), kind, text, served_by))


def main(port: int, users: int, seconds: float) -> SteadyResult:
    """Runs so many users for that long, or until SIGTERM."""
    with until_stopped.threads(seconds) as (stopped, start):
        clients = Clients(port, stopped)
        for number in range(users):
            start(clients.live, number)
    return clients.result


if __name__ == "__main__":
    print(json.dumps(asdict(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))))
