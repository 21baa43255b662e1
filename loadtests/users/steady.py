"""A user of everything, without pauses to speak of, for a server whose threads and workers are made to die."""

import select
import time
from contextlib import suppress
from itertools import repeat
from typing import Any

from locust import task
from websocket import ABNF, WebSocketException, create_connection

from loadtests.apps import catalogue
from loadtests.users.visitor import Visitor, require

# How a server says that it goes away: it is restarted, or stopped. Whoever wants to go on connects anew.
GOING_AWAY = (1001, 1012)
DOWNLOADED, LINES, EVENTS, MESSAGES = 300_000, 50, 10, 20
PIECE, PIECES = b"x" * 20_000, 10


class SteadyUser(Visitor):
    """All that the site offers, on connections that are kept for a while. Think time up to 100 ms."""

    think_time = (0.0, 0.1)
    # As many as the five other classes of a soak that behave well.
    weight = 5

    def fetch(self, path: str, expected: object, **options: Any) -> None:
        """Ask for a path."""
        self.ask(path, expected, name=f"steady: {path.partition('?')[0]}", **options)

    @task(2)
    def look_around(self) -> None:
        self.client.cookiejar.clear()
        self.fetch("/", catalogue.page(1))
        self.fetch("/api/items?page=1", catalogue.items_on(1))

    @task
    def upload(self) -> None:
        # A server that goes away closes connections that rest, and no client sends a POST twice.
        self.hang_up()
        self.fetch("/upload", {"bytes": len(PIECE) * PIECES}, data=PIECE * PIECES)
        self.fetch("/upload", {"bytes": len(PIECE) * PIECES}, data=repeat(PIECE, PIECES))

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
        with self.timed("WS", "steady: /chat connect") as errors:
            socket = create_connection(self.websocket_url(f"steady-{id(self)}"), timeout=self.network_timeout)
        if errors:
            return
        for message in [b"message %d" % number for number in range(MESSAGES)]:
            with self.timed("WS", "steady: /chat") as errors:
                # Whoever sends to a server that has gone meanwhile loses what that has said before it went.
                if not select.select([socket], [], [], 0)[0]:
                    socket.send(message)
                opcode, came = socket.recv_data()
                if opcode == ABNF.OPCODE_CLOSE:
                    code = int.from_bytes(came[:2])
                    require(code in GOING_AWAY, f"the server closed the WebSocket with {code}")
                    break
                require(came == message, f"another message came back: {came[:80]!r}")
            if errors:
                break
            time.sleep(self.wait_time())
        with suppress(WebSocketException, OSError):
            socket.close()
