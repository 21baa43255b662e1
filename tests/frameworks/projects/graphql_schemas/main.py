"""The application, with the same schema by two libraries."""

import threading
from pathlib import Path

from ariadne import load_schema_from_path, make_executable_schema
from ariadne.asgi import GraphQL as Ariadne
from resolvers import book, query
from schema import schema
from schema.books import instance
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from strawberry.asgi import GraphQL as Strawberry


async def page(request: Request) -> Response:
    headers = {"x-thread": threading.current_thread().name, "x-instance": instance}
    return Response("a page", headers=headers)


types = load_schema_from_path(str(Path(__file__).parent / "schema.graphql"))
app = Starlette(
    routes=[
        Route("/", page),
        Mount("/strawberry", Strawberry(schema)),
        Mount("/ariadne", Ariadne(make_executable_schema(types, query, book))),
    ]
)
