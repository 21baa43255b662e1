"""An application factory: called once for each thread, it builds that thread's app from the environment.

    GREETING=Welcome threadserve --factory examples.factory:create_app --threads 4
    curl -Z --no-progress-meter 'http://127.0.0.1:8000/?[1-8]'

This module is imported once, so what it defines outside the factory, such as models or metrics that may be registered
only once in a process, is shared by all threads.
"""

import itertools
import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

instances = itertools.count(1)


def create_app() -> Starlette:
    """Returns a new app. The threads call it one after the other, never at the same time."""
    greeting = os.environ.get("GREETING", "Hello")
    instance = next(instances)

    async def greet(request: Request) -> JSONResponse:
        return JSONResponse({"greeting": greeting, "instance": instance})

    return Starlette(routes=[Route("/", greet)])
