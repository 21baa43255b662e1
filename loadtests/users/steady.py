"""A user that checks every answer, and tells of each failure which server process and thread it befell."""

import http.client
import json
import select
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import repeat
from urllib.parse import urlsplit

from locust import task
from locust.exception import ResponseError
from websocket import ABNF, WebSocketConnectionClosedException, WebSocketException, create_connection

from loadtests.apps import catalogue
from loadtests.users.visitor import Visitor, require

PATIENCE_SECONDS = 30.0
# A server may close a connection that is idle. One that was used within the last second it keeps for the next request.
FRESH_SECONDS = 0.5
# How a server says that it goes away: it is restarted, or stopped. Whoever wants to go on connects anew.
GOING_AWAY = (1001, 1012)
DOWNLOADED, LINES, EVENTS, MESSAGES = 300_000, 50, 10, 20
PIECE, PIECES = b"x" * 20_000, 10
ORDER = {"item": 1, "quantity": 2}


class SteadyUser(Visitor):
    """All that the site offers, on one connection at a time; for a server whose threads and workers are made to die.

    Think time up to 100 ms. An error ends with the process and the thread that answer on the connection, which the
    application says in the header `x-served-by`.
    """

    think_time = (0.0, 0.1)

    def on_start(self) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(str(self.host)).netloc, timeout=PATIENCE_SECONDS)
        self.served_by, self.used_at = "", 0.0

    @task(2)
    def look_around(self) -> None:
        self.fetch("/", catalogue.page(1).encode())
        self.fetch("/api/items?page=1", catalogue.items_on(1))
        self.fetch("/api/orders", {**ORDER, "total": 2 * catalogue.ITEMS_BY_ID["1"]["price"]}, json.dumps(ORDER))

    @task
    def come_anew(self) -> None:
        self.hang_up()
        self.fetch("/", catalogue.page(1).encode())

    @task
    def upload(self) -> None:
        for body in (PIECE * PIECES, repeat(PIECE, PIECES)):
            self.fetch("/upload", {"bytes": len(PIECE) * PIECES}, body)

    @task
    def download(self) -> None:
        self.fetch(f"/download?bytes={DOWNLOADED}", b"".join(catalogue.pieces(DOWNLOADED)))
        self.fetch(f"/stream?lines={LINES}", b"".join(catalogue.lines(LINES)))

    @task
    def listen(self) -> None:
        ticks = b"".join(map(catalogue.event, range(1, EVENTS + 1)))
        self.fetch(f"/events?count={EVENTS}&interval=0.05", ticks)

    @task
    def chat(self) -> None:
        self.hang_up()
        if self.checked("/chat connect", self.enter):
            self.talk()
        self.hang_up()

    def fetch(self, path: str, expected: object, body: bytes | str | Iterable[bytes] | None = None) -> None:
        """Ask for a path, by POST where there is a body, and record whether the answer is these bytes or this JSON."""

        def ask() -> None:
            now = time.monotonic()
            if now - self.used_at > FRESH_SECONDS:
                self.hang_up()
            self.connection.request("POST" if body else "GET", path, body)
            response = self.connection.getresponse()
            self.served_by = response.getheader("x-served-by", "")
            answer = response.read()
            # Not when the answer was read: the server may have been done with it long before.
            self.used_at = now
            require(response.status == 200, f"status {response.status}: {answer[:80]!r}")
            is_right = answer == expected if isinstance(expected, bytes) else json.loads(answer) == expected
            require(is_right, f"another answer than expected, of {len(answer)} bytes: {answer[:80]!r}")
            if response.will_close:
                self.hang_up()

        self.checked(path.partition("?")[0], ask)

    def hang_up(self) -> None:
        """Have the next request open a connection."""
        self.connection.close()
        self.served_by = ""

    def checked(self, name: str, action: Callable[[], None]) -> bool:
        """Record an action as a request; where it raises an exception, hang up and return False."""

        def tell_who_served() -> None:
            try:
                action()
            except Exception as error:
                raise ResponseError(f"{type(error).__name__}: {error} [{self.served_by}]") from None

        is_right = self.timed("steady", f"steady: {name}", 0, tell_who_served)
        if not is_right:
            self.hang_up()
        return is_right

    def enter(self) -> None:
        """Open a WebSocket in a room of its own; raise WebSocketException or OSError where that fails."""
        url = f"ws{str(self.host).removeprefix('http')}/chat?room=steady-{id(self)}"
        self.socket = create_connection(url, timeout=PATIENCE_SECONDS)
        self.served_by, self.said = (self.socket.getheaders() or {}).get("x-served-by", ""), 0
        self.is_readable = False

    def talk(self) -> None:
        """Send some messages, each of which has to come back, until the server goes away."""
        while self.said < MESSAGES and self.checked("/chat", self.say) and self.socket.connected:
            # Whoever sends to a server that has gone meanwhile loses what that has said before it went.
            self.is_readable = bool(select.select([self.socket], [], [], self.wait_time())[0])
        with suppress(WebSocketException, OSError):
            self.socket.close()

    def say(self) -> None:
        """Send a message; raise an exception where it does not come back, unless the server goes away."""
        self.said += 1
        message = f"message {self.said}"
        if not self.is_readable:
            self.socket.send(message)
        opcode, came = self.socket.recv_data()
        if opcode != ABNF.OPCODE_CLOSE:
            require(came == message.encode(), f"another message came back: {came[:80]!r}")
        elif (code := int.from_bytes(came[:2])) in GOING_AWAY:
            self.socket.close()
        else:
            raise WebSocketConnectionClosedException(f"the server closed the WebSocket with {code}")
