"""Clients that keep a server busy from threads of their own, and remember whatever went wrong."""

import threading
import time
from typing import Any

from support.raw_client import RawClient, request
from support.responses import Response
from support.waiting import DEADLINE, wait_until

# How long, in seconds, a client may take for a request and still be sure of an answer: a server that stops keeps a
# connection for one second after its last use.
PROMPT = 0.5


class Load:
    """Requests without a pause, or with one of so many seconds after each, until the server refuses them.

    `keep_alive` clients send one request after the other on a connection, until the server announces that it closes it;
    `fresh` ones connect for each. A request on a connection that was opened has to be answered: everything but a
    refused connection is a failure. Only a client that the system did not run for a while may have come too late.
    """

    def __init__(
        self, server: Any, *, keep_alive: int, fresh: int, target: str = "/", expected: bytes, pause: float = 0.0
    ) -> None:
        self.server = server
        self.target = target
        self.expected = expected
        self.pause = pause
        self.failures: list[str] = []
        self.answered = [0] * (keep_alive + fresh)
        fields = [()] * keep_alive + [("Connection: close",)] * fresh
        self._clients = [
            threading.Thread(target=self._run, args=(number, own), name=f"client-{number}")
            for number, own in enumerate(fields)
        ]

    def start(self) -> None:
        """Starts the clients."""
        for client in self._clients:
            client.start()

    def wait_for_answers(self) -> None:
        """Waits until each client has had a few answers."""
        wait_until(lambda: min(self.answered) >= 3 or self.failures, "answers for all clients", 3 * DEADLINE)

    def join(self) -> int:
        """Waits until the server has refused every client. Returns how many answers came; raises if one did not."""
        for client in self._clients:
            client.join(2 * DEADLINE)
        if self.failures:
            raise AssertionError("\n".join(self.failures))
        if any(client.is_alive() for client in self._clients):
            raise AssertionError("clients still run")
        return sum(self.answered)

    def _run(self, number: int, fields: tuple[str, ...]) -> None:
        try:
            while self._use_connection(number, fields):
                pass
        except Exception as error:
            self.failures.append(f"client {number}: {error!r} {getattr(error, '__notes__', '')}")

    def _use_connection(self, number: int, fields: tuple[str, ...]) -> bool:
        """Sends requests on one connection. Returns False when there is none to be had."""
        last = time.monotonic()
        try:
            client = RawClient(self.server.host, self.server.port)
        except ConnectionRefusedError:
            return False
        data = request("GET", self.target, *fields)
        before = self.answered[number]
        try:
            closing = False
            while not closing:
                previous, last = last, time.monotonic()
                is_answered, sent = ask(client, data)
                if not is_answered and sent - previous > PROMPT:
                    break
                closing = self._take(number, client.read_response())
        except Exception as error:
            error.add_note(f"request {self.answered[number] - before + 1} of its connection")
            raise
        finally:
            client.close()
        return True

    def _take(self, number: int, response: Response) -> bool:
        if (response.status, response.body) != (200, self.expected):
            raise AssertionError(f"{response.status} {response.body!r}")
        self.answered[number] += 1
        time.sleep(self.pause)
        return response.says_close


def ask(client: RawClient, data: bytes) -> tuple[bool, float]:
    """Sends a request. Returns whether anything came in answer, and when it was sent."""
    sent = 0.0
    try:
        client.send(data)
        sent = time.monotonic()
        return client.reader.more(), sent
    except ConnectionError:
        return False, sent or time.monotonic()
