"""The base of all users: think times, hanging up, and the checks of answers."""

import random
import time
from collections.abc import Callable, Container
from typing import Any

from geventhttpclient.response import HTTPSocketPoolResponse
from locust.contrib.fasthttp import FastHttpUser, ResponseContextManager
from locust.exception import ResponseError

# Raises ResponseError where an answer is not the one that is due.
Check = Callable[[ResponseContextManager], object]


class Visitor(FastHttpUser):
    """A user that thinks between its tasks.

    `think_time` is the least and the most seconds, out of which each pause is drawn; `--think-time` multiplies it.
    """

    abstract = True
    think_time: tuple[float, float] = (0.0, 0.0)
    connection_timeout = network_timeout = 30.0

    def __init__(self, environment: Any) -> None:
        self.host = self.host and self.host.rstrip("/")
        super().__init__(environment)

    def wait_time(self) -> float:
        """Return the seconds until the next task."""
        factor: float = self.environment.parsed_options.think_time
        return factor * random.uniform(*self.think_time)

    def hang_up(self) -> None:
        """Close the user's connections, so that the next request opens a new one."""
        self.client.client.close()

    def ask(self, path: str, check: Check, statuses: Container[int] = (200,), **options: Any) -> bool:
        """Ask for a path, by POST where the options have a body; return True if its status and content are right.

        Any other answer is recorded as a failed request, and the user goes on.
        """
        method = "POST" if options.keys() & {"data", "json"} else "GET"
        with self.client.request(method, path, catch_response=True, **options) as response:
            require_status(response, statuses)
            check(response)
            response.success()
            return True
        return False

    def timed(self, kind: str, name: str, size: int, action: Callable[[], None]) -> bool:
        """Record an action as a request; return False where it raised an exception."""
        began, error = time.perf_counter(), None
        try:
            action()
        except Exception as raised:
            error = raised
        self.record(kind, name, time.perf_counter() - began, 0 if error else size, error)
        return error is None

    def record(self, kind: str, name: str, seconds: float, size: int, error: Exception | None = None) -> None:
        """Tell Locust of something that took time and is no request of HTTP."""
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=seconds * 1000,
            response_length=size,
            exception=error,
            context=self.context(),
        )


def require(condition: object, complaint: str) -> None:
    """Raise ResponseError with the complaint unless the condition holds."""
    if not condition:
        raise ResponseError(complaint)


def require_status(response: ResponseContextManager, statuses: Container[int]) -> None:
    """Raise ResponseError unless the whole answer has come, with one of these statuses."""
    error = response.request_meta["exception"]
    if response.status_code not in statuses:
        raise ResponseError(f"status {response.status_code}" if response.status_code else str(error))
    # Locust counts a status from 400 up as an error of its own, which is kept in the answer as well.
    require(error is None or error is getattr(response, "error", None), f"the answer broke off: {error}")


def is_json(expected: Any) -> Check:
    """Return the check that an answer is this document."""

    def check(response: ResponseContextManager) -> None:
        try:
            answer = response.json()
        except ValueError:
            raise ResponseError("the answer is no JSON") from None
        require(answer == expected, "another answer than expected")

    return check


def is_content(expected: bytes, media_type: str = "") -> Check:
    """Return the check that an answer is these bytes, and of a type that begins like that."""

    def check(response: ResponseContextManager) -> None:
        content = response.content or b""
        require(len(content) == len(expected), f"{len(content)} bytes instead of {len(expected)}")
        require(content == expected, "another content than expected")
        headers = response.headers
        is_right = headers is not None and str(headers["content-type"]).startswith(media_type)
        require(is_right, "another type than expected")

    return check


def body_of(response: ResponseContextManager) -> HTTPSocketPoolResponse:
    """Return the body of an answer that was asked for with `stream=True`, to be read as it comes."""
    assert response._response is not None
    return response._response
