"""Strawberry."""

# mypy: ignore-errors
import hashlib
from collections.abc import AsyncGenerator

import strawberry
from strawberry.asgi import GraphQL
from strawberry.file_uploads import Upload
from wrappers.endless import numbers


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str) -> str:
        return name


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def upload(self, file: Upload) -> str:
        return hashlib.sha256(await file.read()).hexdigest()


@strawberry.type
class Subscription:
    @strawberry.subscription
    def count(self) -> AsyncGenerator[int, None]:
        return numbers()


schema = strawberry.Schema(query=Query, mutation=Mutation, subscription=Subscription)
app = GraphQL(schema, multipart_uploads_enabled=True)
