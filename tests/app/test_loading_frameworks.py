"""Applications of frameworks that are loaded once per thread, and asked on all threads at once."""

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from support.waiting import DEADLINE

from threadserve.app.lifespan import Lifespan
from threadserve.app.loading import AppLoader

THREADS = 3
FASTAPI = """
    from __future__ import annotations

    import asyncio
    from contextlib import asynccontextmanager
    from typing import Annotated

    from fastapi import Depends, FastAPI
    from pydantic import BaseModel, Field


    class Item(BaseModel):
        name: str
        price: Annotated[float, Field(gt=0)]

    class Order(BaseModel):
        items: list[Item]
        note: Note | None = None

    class Note(BaseModel):
        text: str

    class Unused(BaseModel):
        later: Later | None = None

    class Later(BaseModel):
        n: int

    lock = asyncio.Lock()

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        app.state.lock = lock
        app.state.orders = 0
        yield

    def counter() -> FastAPI:
        return app

    app = FastAPI(lifespan=lifespan)

    @app.post("/orders")
    async def order(order: Order, counted: Annotated[FastAPI, Depends(counter)]) -> Order:
        async with counted.state.lock:
            await asyncio.sleep(0)
            counted.state.orders += 1
        assert isinstance(order, Order)
        assert isinstance(order.items[0], Item)
        return Order(items=[*order.items, Item(name="made here", price=1)], note=Note(text=str(counted.state.orders)))

    @app.get("/unused")
    def unused() -> int:
        return Unused(later=Later(n=7)).later.n
"""
STARLETTE = """
    import asyncio
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def index(request: Request) -> JSONResponse:
        request.app.state.hits = getattr(request.app.state, "hits", 0) + 1
        return JSONResponse(request.app.state.hits)

    app = Starlette(routes=[Route("/", index)])
"""
Ask = Callable[[httpx.AsyncClient], Any]


@pytest.fixture
def ask_on_threads() -> Callable[[AppLoader, Ask], list[Any]]:
    """`ask_on_threads(loader, ask)` loads and asks on all threads at once; returns what each saw or raised."""

    def run_all(loader: AppLoader, ask: Ask) -> list[Any]:
        barrier = threading.Barrier(THREADS)
        results: list[Any] = []

        async def serve(number: int) -> Any:
            app = loader.load_threadsafe(number)
            lifespan = Lifespan(app, "on", {})
            await lifespan.startup()
            barrier.wait(3 * DEADLINE)
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
                seen = await ask(client)
            await lifespan.shutdown()
            return seen

        def run(number: int) -> None:
            try:
                results.append(asyncio.run(serve(number)))
            except BaseException as error:
                barrier.abort()
                results.append(error)

        threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(1, THREADS + 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * DEADLINE)
        return results

    return run_all


def test_fastapi_models_with_postponed_annotations(project: Any, ask_on_threads: Any) -> None:
    project.write("main.py", FASTAPI)

    async def ask(client: httpx.AsyncClient) -> Any:
        answers = []
        for _ in range(5):
            answer = await client.post("/orders", json={"items": [{"name": "spam", "price": 2}], "note": {"text": ""}})
            answers.append(answer.json())
        refused = await client.post("/orders", json={"items": [{"name": "spam", "price": -2}]})
        assert refused.status_code == 422
        return answers

    expected = [
        {"items": [{"name": "spam", "price": 2}, {"name": "made here", "price": 1}], "note": {"text": str(n)}}
        for n in range(1, 6)
    ]
    assert ask_on_threads(project.loader("main:app", threads=THREADS), ask) == [expected] * THREADS


def test_fastapi_forward_reference_that_is_first_resolved_in_a_request(project: Any, ask_on_threads: Any) -> None:
    project.write("main.py", FASTAPI)

    async def ask(client: httpx.AsyncClient) -> Any:
        return (await client.get("/unused")).json()

    assert ask_on_threads(project.loader("main:app", threads=THREADS), ask) == [7] * THREADS


def test_fastapi_factory(project: Any, ask_on_threads: Any) -> None:
    project.write(
        "main.py", FASTAPI + "\n    def create_app() -> FastAPI:\n        return FastAPI(lifespan=lifespan)\n"
    )

    async def ask(client: httpx.AsyncClient) -> Any:
        return (await client.get("/openapi.json")).json()["paths"]

    loader = project.loader("main:create_app", factory=True, threads=THREADS)
    assert ask_on_threads(loader, ask) == [{}] * THREADS
    assert loader.instance_count == THREADS


def test_starlette_state_belongs_to_one_thread(project: Any, ask_on_threads: Any) -> None:
    project.write("main.py", STARLETTE)

    async def ask(client: httpx.AsyncClient) -> Any:
        return [(await client.get("/")).json() for _ in range(3)]

    loader = project.loader("main:app", threads=THREADS)
    assert ask_on_threads(loader, ask) == [[1, 2, 3]] * THREADS
    assert sys.modules["main"].app.state.hits == 3
