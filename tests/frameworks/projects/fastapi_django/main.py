"""FastAPI's views, with Django's models."""

import os
import secrets
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import django
from fastapi import FastAPI, Response
from fastapi.concurrency import run_in_threadpool

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from django.db import connection  # noqa: E402
from shop.models import Line, Order  # noqa: E402

instance = secrets.token_hex()
making_tables = threading.Lock()


def make_tables() -> None:
    with making_tables:
        if not connection.introspection.table_names():
            with connection.schema_editor() as editor:
                editor.create_model(Order)
                editor.create_model(Line)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    await run_in_threadpool(make_tables)
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def page(response: Response) -> str:
    response.headers.update({"x-thread": threading.current_thread().name, "x-instance": instance})
    return "a page"


@app.post("/orders/{name}")
def add(name: str, articles: list[str]) -> list[str]:
    order = Order.objects.create(name=name)
    Line.objects.bulk_create(Line(order=order, article=article) for article in articles)
    return [line.article for line in Order.objects.get(name=name).lines.order_by("id")]


@app.get("/orders/{name}")
async def count(name: str) -> int:
    order = await Order.objects.aget(name=name)
    return await order.lines.acount()
