"""Somebody who sends and fetches large bodies."""

import random
import time
from typing import Any

from locust import task
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS, ResponseContextManager
from locust.exception import ResponseError

from loadtests.apps import catalogue
from loadtests.users.visitor import Visitor, body_of, require, require_json, require_status

# Locust's hints know bodies of text only.
BODIES: dict[int, Any] = {size: b"".join(catalogue.pieces(size)) for size in (10_000, 100_000, 1_000_000)}
LINES = 50


class TransferUser(Visitor):
    """Think time from half a second to two seconds. What is fetched is compared piece by piece and not kept.

    The time of a download is that until its last byte.
    """

    think_time = (0.5, 2.0)
    sizes = tuple(BODIES)

    @task(2)
    def upload(self) -> None:
        size = random.choice(self.sizes)
        with self.client.post("/upload", data=BODIES[size], catch_response=True) as response:
            require_json(response, {"bytes": size})

    @task
    def upload_chunked(self) -> None:
        size = random.choice(self.sizes)
        body: Any = catalogue.pieces(size)
        with self.client.post("/upload", data=body, name="/upload chunked", catch_response=True) as response:
            require_json(response, {"bytes": size})

    @task(3)
    def download(self) -> None:
        size = random.choice(self.sizes)
        self.fetch(f"/download?bytes={size}", "/download", size, catalogue.PIECE)

    @task
    def stream(self) -> None:
        text = b"".join(catalogue.lines(LINES))
        self.fetch(f"/stream?lines={LINES}", "/stream", len(text), text)

    def fetch(self, path: str, name: str, size: int, period: bytes) -> None:
        """Reads a body of so many bytes, which repeats itself with this period."""
        began = time.perf_counter()
        with self.client.get(path, name=name, stream=True, catch_response=True) as response:
            try:
                require_status(response)
                received = read(response, period)
                require(received == size, f"{received} bytes instead of {size}")
            finally:
                response.request_meta["response_time"] = (time.perf_counter() - began) * 1000
            response.request_meta["response_length"] = received


def read(response: ResponseContextManager, period: bytes) -> int:
    """Reads a body to its end; returns its size. Raises ResponseError where it does not consist of `period`."""
    body, received = body_of(response), 0
    try:
        while piece := body.read(len(period)):
            require(period.startswith(piece), "another content than expected")
            received += len(piece)
    except FAILURE_EXCEPTIONS as error:
        raise ResponseError(f"the answer broke off: {error}") from None
    return received
