"""Somebody who listens to server-sent events."""

import time

from locust import task
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS
from locust.exception import ResponseError

from loadtests.apps import catalogue
from loadtests.users.visitor import Visitor, require, require_whole

EVENTS, INTERVAL = 10, 0.1


class EventsUser(Visitor):
    """Think time from half a second to two seconds between streams of ten events, one each 100 ms.

    Three requests are recorded: `/events`, until the head of the answer, fails if the stream is not as it should be;
    `/events first` is the time from the request to the first event, `/events next` that from an event to the next one.
    """

    think_time = (0.5, 2.0)

    @task
    def listen(self) -> None:
        before, path = time.perf_counter(), f"/events?count={EVENTS}&interval={INTERVAL}"
        with self.client.get(path, name="/events", stream=True, catch_response=True) as response:
            require_whole(response, 200)
            assert response._response is not None
            for number in range(1, EVENTS + 1):
                try:
                    event = response._response.readline(b"\n\n")
                except FAILURE_EXCEPTIONS as error:
                    raise ResponseError(f"the stream broke off: {error}") from None
                require(event == catalogue.event(number), f"{event[:20]!r} instead of event {number}")
                now = time.perf_counter()
                self.record("SSE", "/events first" if number == 1 else "/events next", now - before)
                before = now
            response.success()
