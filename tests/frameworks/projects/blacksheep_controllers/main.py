"""The application, with the default router, and controllers that a library keeps."""

import secrets
import threading
from collections.abc import Awaitable, Callable

import controllers.books
import controllers.home  # noqa: F401
from blacksheep import Application, Request, Response

app = Application()
instance = secrets.token_hex()


async def who_answers(request: Request, handler: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await handler(request)
    response.add_header(b"x-thread", threading.current_thread().name.encode())
    response.add_header(b"x-instance", instance.encode())
    return response


app.middlewares.append(who_answers)
