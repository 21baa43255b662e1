"""What all users share: think times, hanging up, and how an answer is checked."""

import random
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Any

from geventhttpclient.response import HTTPSocketPoolResponse
from locust.contrib.fasthttp import FastHttpUser, ResponseContextManager
from locust.exception import ResponseError


class Visitor(FastHttpUser):
    """A user that thinks between its tasks.

    `think_time` is the least and the most seconds, out of which each pause is drawn; `--think-time` multiplies it.
    Every answer is asked for with `catch_response=True` and checked inside the `with` block: what `require` and the
    functions beside it raise there is recorded as a failed request, and the user goes on.
    """

    abstract = True
    think_time: tuple[float, float] = (0.0, 0.0)
    connection_timeout = 30.0
    network_timeout = 30.0

    def __init__(self, environment: Any) -> None:
        self.host = self.host and self.host.rstrip("/")
        super().__init__(environment)

    def wait_time(self) -> float:
        """Seconds until the next task."""
        factor: float = self.environment.parsed_options.think_time
        return factor * random.uniform(*self.think_time)

    def hang_up(self) -> None:
        """Closes the user's connections, so that the next request opens a new one."""
        self.client.client.close()

    @contextmanager
    def measured(self, kind: str, name: str, size: int = 0) -> Iterator[None]:
        """Records what is done in the `with` block as a request, a failed one if it raises, which is the end of it.

        What is cut off by the end of the test is not recorded.
        """
        began = time.perf_counter()
        try:
            yield
        except Exception as error:
            self.record(kind, name, time.perf_counter() - began, 0, error)
        else:
            self.record(kind, name, time.perf_counter() - began, size)

    def record(self, kind: str, name: str, seconds: float, size: int, error: Exception | None = None) -> None:
        """Tells Locust of something that took time and is no request of HTTP."""
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=seconds * 1000,
            response_length=size,
            exception=error,
            context=self.context(),
        )


def require(condition: object, complaint: str) -> None:
    """Raises ResponseError with the complaint unless the condition holds."""
    if not condition:
        raise ResponseError(complaint)


def require_status(response: ResponseContextManager, expected: Container[int] = (200,)) -> None:
    """Raises ResponseError unless the whole answer has come, with one of these statuses."""
    error = response.request_meta["exception"]
    if response.status_code not in expected:
        raise ResponseError(f"status {response.status_code}" if response.status_code else str(error))
    # Locust counts a status from 400 up as an error of its own, which is kept in the answer as well.
    require(error is None or error is getattr(response, "error", None), f"the answer broke off: {error}")


def require_json(response: ResponseContextManager, expected: Any) -> None:
    """Raises ResponseError unless the answer is a 200 with this document."""
    require_status(response)
    try:
        answer = response.json()
    except ValueError:
        raise ResponseError("the answer is no JSON") from None
    require(answer == expected, "another answer than expected")


def body_of(response: ResponseContextManager) -> HTTPSocketPoolResponse:
    """The body of an answer that was asked for with `stream=True`, to be read as it comes. Check the status first."""
    assert response._response is not None
    return response._response
