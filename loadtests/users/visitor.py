"""The base of all users: think times, requests whose answers are checked, and times of what is no request of HTTP."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from locust.contrib.fasthttp import FastHttpUser, ResponseContextManager
from locust.exception import RescheduleTask, ResponseError


class Visitor(FastHttpUser):
    """A user that thinks between its tasks.

    `think_time` is the least and the most seconds, out of which each pause is drawn; `--think-time` multiplies it.
    """

    abstract = True
    think_time: tuple[float, float] = (0.0, 0.0)
    connection_timeout = network_timeout = 30.0

    def wait_time(self) -> float:
        """Return the seconds until the next task."""
        factor: float = self.environment.parsed_options.think_time
        return factor * random.uniform(*self.think_time)

    def hang_up(self) -> None:
        """Close the user's connections, so that the next request opens a new one."""
        self.client.client.close()

    def ask(self, path: str, expected: object = None, status: int = 200, **options: Any) -> bool:
        """Ask for a path, by POST where the options have a body; return True if the answer is as expected.

        Expected are bytes, a text, or what a JSON document says; without any the status is enough. Any other answer is
        recorded as a failed request, and the user goes on.
        """
        method = "POST" if options.keys() & {"data", "json"} else "GET"
        with self.client.request(method, path, catch_response=True, **options) as response:
            require_whole(response, status)
            size = len(response.content or b"")
            require(expected is None or is_right(response, expected), f"another answer than expected, of {size} bytes")
            response.success()
            return True
        return False

    @contextmanager
    def timed(self, kind: str, name: str) -> Iterator[list[Exception]]:
        """Record a `with` block as a request; give a list, to which the exception is added that ends the block.

        It is no request if Locust ends the user meanwhile, or the block the task.
        """
        errors: list[Exception] = []
        began = time.perf_counter()
        try:
            yield errors
        except RescheduleTask:
            raise
        except Exception as error:
            errors.append(error)
        self.record(kind, name, time.perf_counter() - began, *errors)

    def record(self, kind: str, name: str, seconds: float, error: Exception | None = None) -> None:
        """Tell Locust of something that took time and is no request of HTTP."""
        self.environment.events.request.fire(
            request_type=kind, name=name, response_time=seconds * 1000, response_length=0, exception=error
        )


def require(condition: object, complaint: str) -> None:
    """Raise ResponseError with the complaint unless the condition holds."""
    if not condition:
        raise ResponseError(complaint)


def require_whole(response: ResponseContextManager, status: int) -> None:
    """Raise ResponseError unless the whole answer has come, with this status."""
    error = response.request_meta["exception"]
    require(response.status_code, str(error))
    require(response.status_code == status, f"status {response.status_code}")
    # Locust counts a status from 400 up as an error of its own.
    require(error is None or status >= 400, f"the answer broke off: {error}")


def is_right(response: ResponseContextManager, expected: object) -> bool:
    """Return whether the answer is these bytes, this text, or a document that says this."""
    if isinstance(expected, bytes | str):
        return expected == (response.content if isinstance(expected, bytes) else response.text)
    with suppress(ValueError):
        return bool(response.json() == expected)
    return False
