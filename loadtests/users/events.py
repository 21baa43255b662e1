"""Somebody who listens to server-sent events."""

import time

from locust import task
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS, ResponseContextManager
from locust.exception import ResponseError

from loadtests.apps import catalogue
from loadtests.users.visitor import Visitor, body_of, require, require_status

COUNT = 10
INTERVAL = 0.1


class EventsUser(Visitor):
    """Think time from half a second to two seconds between streams of ten events, one each 100 ms.

    Three requests are recorded: `/events`, until the head of the answer, fails if the stream is not as it should be;
    `/events first` is the time from the request to the first event, `/events next` that from an event to the next one.
    """

    think_time = (0.5, 2.0)

    @task
    def listen(self) -> None:
        path = f"/events?count={COUNT}&interval={INTERVAL}"
        began = time.perf_counter()
        with self.client.get(path, name="/events", stream=True, catch_response=True) as response:
            require_status(response)
            for number in range(1, COUNT + 1):
                event = next_event(response)
                require(event == catalogue.event(number), f"{event[:20]!r} instead of event {number}")
                arrived = time.perf_counter()
                self.record("SSE", "/events first" if number == 1 else "/events next", arrived - began, len(event))
                began = arrived
            require(next_event(response) == b"", "more events than asked for")


def next_event(response: ResponseContextManager) -> bytes:
    """The next event with the empty line at its end; nothing at the end of the stream. Raises ResponseError."""
    try:
        return body_of(response).readline(b"\n\n")
    except FAILURE_EXCEPTIONS as error:
        raise ResponseError(f"the stream broke off: {error}") from None
