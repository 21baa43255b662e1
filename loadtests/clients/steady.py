"""Well-behaved clients that check every answer, and tell of each failure which server process and thread it befell.

Each user keeps to one kind of traffic, with a moment between requests. The application says in the header
`x-served-by` which process and thread answers.
"""

import http.client
import json
import random
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from itertools import repeat
from threading import Event

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from loadtests.clients.seen import Record

HOST, SERVED_BY = "127.0.0.1", "x-served-by"
PATIENCE_SECONDS, THINK_SECONDS = 30.0, 0.05
# A server may close a connection that is idle. One that was used within the last second it keeps for the next request.
FRESH_SECONDS = 0.5
# How a server says that it goes away: it is restarted, or stopped. Whoever wants to go on connects anew.
GOING_AWAY = (1001, 1012)
UPLOADED, DOWNLOADED = 200_000, 300_000
STREAMED_LINES, EVENTS, MESSAGES = 50, 10, 20


class Wrong(Exception):
    """An answer is not the one that was due."""


def require(condition: bool, otherwise: str) -> None:
    """Raise Wrong unless the condition holds."""
    if not condition:
        raise Wrong(otherwise)


class HttpUser:
    """One connection at a time, kept open between requests unless it `is_forgetful`."""

    def __init__(self, port: int, *, is_forgetful: bool) -> None:
        self.served_by = ""
        self._is_forgetful = is_forgetful
        self._connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE_SECONDS)
        self._used_at = 0.0

    def ask(self, method: str, path: str, body: bytes | str | Iterable[bytes] | None = None) -> bytes:
        """Return the body of an answer. Raises Wrong unless that is a 200, OSError, HTTPException."""
        now = time.monotonic()
        if self._is_forgetful or now - self._used_at > FRESH_SECONDS:
            self.close()
        self._connection.request(method, path, body)
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
        """Have the next request open a connection."""
        self._connection.close()
        self.served_by = ""


def pages(user: HttpUser) -> None:
    """Visit a page and a list, and order something."""
    require(b"/static/style.css" in user.ask("GET", "/"), "not the page")
    json.loads(user.ask("GET", "/api/items?page=1"))
    json.loads(user.ask("POST", "/api/orders", json.dumps({"item": 1, "quantity": 2})))


def uploads(user: HttpUser) -> None:
    """Send a body with its length, and one in chunks."""
    piece = b"x" * (UPLOADED // 10)
    for body in (piece * 10, repeat(piece, 10)):
        taken = json.loads(user.ask("POST", "/upload", body))["bytes"]
        require(taken == UPLOADED, f"{taken} of {UPLOADED} bytes arrived")


def downloads(user: HttpUser) -> None:
    """Fetch a large body, and one that is streamed."""
    size = len(user.ask("GET", f"/download?bytes={DOWNLOADED}"))
    require(size == DOWNLOADED, f"{size} of {DOWNLOADED} bytes came")
    lines = user.ask("GET", f"/stream?lines={STREAMED_LINES}").count(b"\n")
    require(lines == STREAMED_LINES, f"{lines} of {STREAMED_LINES} lines came")


def events(user: HttpUser) -> None:
    """Listen to server-sent events."""
    count = user.ask("GET", f"/events?count={EVENTS}&interval=0.05").count(b"data:")
    require(count == EVENTS, f"{count} of {EVENTS} events came")


# The kinds of traffic over HTTP, each with whether it is on a new connection every time; beside them there is the chat.
VISITS: dict[str, tuple[Callable[[HttpUser], None], bool]] = {
    "pages": (pages, False),
    "new connections": (pages, True),
    "uploads": (uploads, False),
    "downloads": (downloads, False),
    "events": (events, False),
}
CHAT = "chat"


def live(port: int, number: int, record: Record, stopped: Event) -> None:
    """Live one user's life until it is to be stopped, on the thread that calls it."""
    kind = (*VISITS, CHAT)[number % (len(VISITS) + 1)]
    if kind == CHAT:
        chat(port, number, record, stopped)
        return
    visit, is_forgetful = VISITS[kind]
    with closing(HttpUser(port, is_forgetful=is_forgetful)) as user:
        while not stopped.wait(random.uniform(0, 2 * THINK_SECONDS)):
            try:
                visit(user)
            except (Wrong, ValueError, LookupError, OSError, http.client.HTTPException) as error:
                record.fail(f"steady: {kind}", error, user.served_by)
                user.close()
            else:
                record.count(record.requests, f"steady: {kind}")


def chat(port: int, number: int, record: Record, stopped: Event) -> None:
    """Enter a room of one's own again and again, and talk there."""
    url = f"ws://{HOST}:{port}/chat?room=steady-{number}"
    while not stopped.wait(THINK_SECONDS):
        served_by = ""
        try:
            with connect(url, open_timeout=PATIENCE_SECONDS) as socket:
                served_by = socket.response.headers.get(SERVED_BY, "") if socket.response else ""
                talk(socket, record, stopped)
        except (Wrong, OSError, WebSocketException) as error:
            has_gone_away = isinstance(error, ConnectionClosed) and error.rcvd and error.rcvd.code in GOING_AWAY
            if not has_gone_away:
                record.fail(f"steady: {CHAT}", error, served_by)


def talk(socket: ClientConnection, record: Record, stopped: Event) -> None:
    """Send some messages, each of which has to come back."""
    for number in range(MESSAGES):
        if stopped.wait(random.uniform(0, 2 * THINK_SECONDS)):
            return
        socket.send(message := f"message {number}")
        came = socket.recv(PATIENCE_SECONDS)
        require(came == message, f"another message came back: {came[:80]!r}")
        record.count(record.requests, f"steady: {CHAT}")
