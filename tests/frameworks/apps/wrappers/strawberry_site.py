"""Strawberry."""

# mypy: ignore-errors
import asyncio
import hashlib
from collections.abc import AsyncGenerator

import strawberry
from strawberry.asgi import GraphQL
from strawberry.file_uploads import Upload


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str) -> str:
        return name

    @strawberry.field
    async def boom(self) -> str:
        raise RuntimeError("the site has a mistake")


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def upload(self, file: Upload) -> str:
        return hashlib.sha256(await file.read()).hexdigest()


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, target: int) -> AsyncGenerator[int, None]:
        try:
            for number in range(target):
                yield number
                await asyncio.sleep(0.01)
        finally:
            print("the stream has ended", flush=True)


schema = strawberry.Schema(query=Query, mutation=Mutation, subscription=Subscription)
app = GraphQL(schema, multipart_uploads_enabled=True)
