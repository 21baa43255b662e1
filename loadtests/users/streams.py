"""Users who send and fetch large bodies, and who listen to server-sent events."""

import random
import time
from typing import Any

from locust import task
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS, ResponseContextManager
from locust.exception import ResponseError

from loadtests.apps import catalogue
from loadtests.users.visitor import Visitor, body_of, is_content, is_json, require

BODIES = {size: b"".join(catalogue.pieces(size)) for size in (10_000, 100_000, 1_000_000)}
LINES = 50
EVENTS, INTERVAL = 10, 0.1


class TransferUser(Visitor):
    """Uploads with their length and in chunks, downloads and streams, whose times are those until the last byte.

    Think time from half a second to two seconds.
    """

    think_time = (0.5, 2.0)
    sizes = tuple(BODIES)

    @task(2)
    def upload(self) -> None:
        size = random.choice(self.sizes)
        self.ask("/upload", is_json({"bytes": size}), data=BODIES[size])

    @task
    def upload_chunked(self) -> None:
        size = random.choice(self.sizes)
        self.ask("/upload", is_json({"bytes": size}), data=catalogue.pieces(size), name="/upload chunked")

    @task(3)
    def download(self) -> None:
        size = random.choice(self.sizes)
        self.ask(f"/download?bytes={size}", is_content(BODIES[size]), name="/download")

    @task
    def stream(self) -> None:
        self.ask(f"/stream?lines={LINES}", is_content(b"".join(catalogue.lines(LINES))), name="/stream")


class EventsUser(Visitor):
    """Think time from half a second to two seconds between streams of ten events, one each 100 ms.

    Three requests are recorded: `/events`, until the head of the answer, fails if the stream is not as it should be;
    `/events first` is the time from the request to the first event, `/events next` that from an event to the next one.
    """

    think_time = (0.5, 2.0)
    asked_at = 0.0

    @task
    def listen(self) -> None:
        self.asked_at = time.perf_counter()
        self.ask(f"/events?count={EVENTS}&interval={INTERVAL}", self.take_events, name="/events", stream=True)

    def take_events(self, response: ResponseContextManager) -> None:
        before = self.asked_at
        for number in range(1, EVENTS + 1):
            event = next_event(response)
            require(event == catalogue.event(number), f"{event[:20]!r} instead of event {number}")
            now = time.perf_counter()
            self.record("SSE", "/events first" if number == 1 else "/events next", now - before, len(event))
            before = now
        require(next_event(response) == b"", "more events than asked for")


def next_event(response: ResponseContextManager) -> Any:
    """Return the next event with the empty line at its end; nothing at the end of the stream. Raise ResponseError."""
    try:
        return body_of(response).readline(b"\n\n")
    except FAILURE_EXCEPTIONS as error:
        raise ResponseError(f"the stream broke off: {error}") from None
