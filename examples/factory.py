"""An application factory: called once for each thread, it builds that thread's app from the environment.

    GREETING=Welcome threadserve --factory examples.factory:create_app --threads 4
    curl -Z --no-progress-meter 'http://127.0.0.1:8000/?[1-8]'

Each thread has its own copy of this module as well. What may be registered only once in a process, such as metrics,
goes into a module that `--app-shared` names.
"""

import os
import threading

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


def create_app() -> Starlette:
    """Returns a new app. The threads call it one after the other, never at the same time."""
    greeting = os.environ.get("GREETING", "Hello")
    made_on = threading.current_thread().name

    async def greet(request: Request) -> JSONResponse:
        return JSONResponse({"greeting": greeting, "made_on": made_on})

    return Starlette(routes=[Route("/", greet)])
