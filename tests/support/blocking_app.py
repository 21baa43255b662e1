"""An application whose requests block their loop, in several ways, until the test lets them go."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from support.apps import Gate, respond
from support.embedded_server import EmbeddedServer
from support.raw_client import RawClient, request
from support.waiting import DEADLINE, wait_until

from threadserve.types import Receive, Scope, Send


class Blocking:
    """Answers with the path; its thread sleeps at /sleep and computes at /compute, a task waits at /wait."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.has_enough = False
        self.gate = Gate()
        self.blocked = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, to be served without lifespan."""
        if scope["path"] == "/sleep":
            self.sleep()
        elif scope["path"] == "/compute":
            self.compute()
        elif scope["path"] == "/wait":
            await self.gate.wait()
        await respond(send, scope["path"].encode())

    def sleep(self) -> None:
        """Blocks in a call of the system."""
        self.blocked += 1
        self.released.wait(3 * DEADLINE)

    def compute(self) -> None:
        """Blocks with Python code, all of which is here."""
        self.blocked += 1
        while not self.has_enough:
            sum(range(100))

    def _wait_for_blocked(self, count: int) -> None:
        wait_until(lambda: self.blocked == count, "a loop to be blocked")

    @contextmanager
    def held(self, server: EmbeddedServer, target: str, count: int = 1) -> Iterator[None]:
        """So many loops are blocked meanwhile, by requests that are answered in the end."""
        self.released.clear()
        self.has_enough = False
        before = self.blocked
        clients: list[RawClient] = []
        try:
            for number in range(1, count + 1):
                client = RawClient(server.host, server.port)
                clients.append(client)
                client.send(request("GET", target))
                self._wait_for_blocked(before + number)
            yield
        finally:
            self.released.set()
            self.has_enough = True
            for client in clients:
                with suppress(OSError):
                    assert client.read_response().status == 200
                client.close()
