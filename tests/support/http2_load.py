"""Clients that keep streams of HTTP/2 open, as many as they are told, and see to it that none is lost."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from h2.errors import ErrorCodes
from support.http2_client import H2Client
from support.server_process import ServerProcess
from support.version_app import digest
from support.waiting import DEADLINE

LAST_STREAM_ID = 2**31 - 1
# How long the application takes, in milliseconds.
TAKES = 5
# What every third request sends.
BODY = bytes(range(250)) * 120


class LoadedConnection:
    """One connection, with so many streams at a time: most ask for a number of their own, and some send something.

    `lost` tells what has gone wrong.
    """

    def __init__(self, host: str, port: int, streams: int, pause: float) -> None:
        self.client = H2Client(socket.create_connection((host, port), DEADLINE))
        self.streams = streams
        self.pause = pause
        self.expected: dict[int, bytes] = {}
        self.answered = 0
        self.unserved = 0
        self.lost: list[str] = []

    def run(self, stop: threading.Event) -> None:
        """Opens streams until the server says goodbye, or the test is over, and waits for all that are open."""
        with suppress(ConnectionError):
            self.open_more()
            while not (self.client.goaways or stop.is_set()):
                if not self.client.read_some():
                    break
                self.settle()
                if not (self.client.goaways or stop.wait(self.pause)):
                    self.open_more()
        while self.expected and not self.client.is_closed:
            self.client.read_some()
            self.settle()
        if self.client.goaways:
            # The server closes, and it has been told before which streams it has served.
            self.client.read_to_end()
        self.check()
        self.client.close()

    def open_more(self) -> None:
        """Opens as many as are missing."""
        while len(self.expected) < self.streams:
            number = self.client.next_stream
            if number % 3:
                self.client.open(f"/number?n={number}&ms={TAKES}")
                self.expected[number] = b"%d" % number
            else:
                self.expected[number] = digest(BODY).encode()
                self.client.open("/digest", method="POST", ends=False)
                self.client.send_data(number, BODY, ends=True)

    def settle(self) -> None:
        """Takes note of the streams that have ended."""
        responses = self.client.responses
        for stream_id in [each for each in self.expected if each in responses]:
            response = responses[stream_id]
            if response.reset == ErrorCodes.REFUSED_STREAM and self.client.goaways:
                del self.expected[stream_id]
                self.unserved += 1
            elif response.reset is not None or response.is_complete:
                expected = self.expected.pop(stream_id)
                if response.reset is None and (response.status, response.body) == (200, expected):
                    self.answered += 1
                else:
                    self.lost.append(f"{stream_id}: {response}, not {expected!r}")

    def check(self) -> None:
        """A stream that is left open is lost, unless the server has said that it would not serve it."""
        goaways = self.client.goaways
        if goaways and goaways[0].last_stream_id != LAST_STREAM_ID:
            self.lost.append(f"said goodbye without a warning: {goaways}")
        if any(goaway.error_code for goaway in goaways):
            self.lost.append(f"said goodbye for an error: {goaways}")
        last = goaways[-1].last_stream_id if goaways else 0
        for stream_id in self.expected:
            if goaways and stream_id > last:
                self.unserved += 1
            else:
                self.lost.append(f"{stream_id} is unanswered, after {goaways}")


class Load:
    """So many clients, each on a thread: who is said goodbye connects again, until the server is gone.

    Each pauses for so many seconds before it opens further streams.

    `answered` counts answers, `unserved` streams that the server has left to be asked for again; `lost` has to be empty
    in the end.
    """

    def __init__(self, server: ServerProcess, clients: int, streams: int, pause: float) -> None:
        self.server = server
        self.streams = streams
        self.pause = pause
        self.stop = threading.Event()
        self.connections: list[LoadedConnection] = []
        self.refused = 0
        self.failures: list[BaseException] = []
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def _run(self) -> None:
        try:
            while not self.stop.is_set():
                try:
                    connection = LoadedConnection(self.server.host, self.server.port, self.streams, self.pause)
                except ConnectionRefusedError:
                    self.refused += 1
                    return
                self.connections.append(connection)
                connection.run(self.stop)
        except BaseException as error:
            self.failures.append(error)

    @property
    def answered(self) -> int:
        """How many answers have come on all connections."""
        return sum([connection.answered for connection in self.connections])

    @property
    def unserved(self) -> int:
        """How many streams were not served."""
        return sum([connection.unserved for connection in self.connections])

    @property
    def lost(self) -> list[str]:
        """All that has gone wrong."""
        return [*map(repr, self.failures), *[each for connection in self.connections for each in connection.lost]]

    def end(self) -> None:
        """Waits for all clients, which open no further stream."""
        self.stop.set()
        for thread in self.threads:
            thread.join(DEADLINE)
        assert not any(thread.is_alive() for thread in self.threads), "a client waits"


@contextmanager
def load(server: ServerProcess, *, clients: int = 4, streams: int = 20, pause: float = 0.0) -> Iterator[Load]:
    """Runs such clients."""
    running = Load(server, clients, streams, pause)
    for thread in running.threads:
        thread.start()
    try:
        yield running
    finally:
        running.stop.set()
        for connection in running.connections:
            with suppress(OSError):
                connection.client.socket.shutdown(socket.SHUT_RDWR)
        for thread in running.threads:
            thread.join(DEADLINE)
