"""A library's catalogue: the application, put together from its modules."""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec

from fastapi import FastAPI, Request, Response

from app import clients, jobs
from app.api.routers import authors, books, inside
from app.core.config import Settings, get_settings
from app.core.errors import CatalogueError, explain


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    async with jobs.workers(2), clients.http:
        yield {"owner": threading.current_thread().name}


app = FastAPI(lifespan=lifespan)
app.add_exception_handler(CatalogueError, explain)
app.dependency_overrides[get_settings] = lambda: Settings(title="overridden", key=get_settings().key)
app.include_router(authors.router, prefix="/authors")
app.include_router(books.router, prefix="/books")
app.include_router(inside.router)

if find_spec("greenlet") is not None:
    from app.api.routers import loans

    app.include_router(loans.router, prefix="/loans")


@app.middleware("http")
async def who_answers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers["x-thread"] = request.state.owner
    response.headers["x-instance"] = get_settings().key
    return response
