"""The schema, put together from its types' modules."""

import strawberry

from schema.authors import Author
from schema.books import Book, find


@strawberry.type
class Query:
    @strawberry.field
    async def book(self, title: str) -> Book:
        return await find(title)

    @strawberry.field
    def author(self, name: str) -> Author:
        return Author(name=name)


schema = strawberry.Schema(Query)
