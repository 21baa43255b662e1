"""The application."""

import secrets
import threading

from controllers.authors import AuthorController
from controllers.books import BookController
from domain import Unknown
from litestar import Litestar, MediaType, Request, Response, get
from litestar.datastructures import State
from litestar.di import Provide

instance = secrets.token_hex()


def unknown(request: Request, error: Unknown) -> Response:
    return Response({"unknown": str(error)}, media_type=MediaType.JSON, status_code=404)


async def who_answers(response: Response) -> Response:
    response.headers.update({"x-thread": threading.current_thread().name, "x-instance": instance})
    return response


@get("/")
async def page() -> str:
    return "a page"


async def limit(size: int = 2) -> int:
    return size


def on_startup(app: Litestar) -> None:
    app.state.instance = instance


app = Litestar(
    [page, AuthorController, BookController],
    on_startup=[on_startup],
    exception_handlers={Unknown: unknown},
    after_request=who_answers,
    dependencies={"limit": Provide(limit)},
    state=State(),
)
