"""Books, which have authors."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry.dataloader import DataLoader

if TYPE_CHECKING:
    from schema.authors import Author

instance = secrets.token_hex()


@strawberry.type
class Book:
    title: str

    @strawberry.field
    def author(self) -> Annotated[Author, strawberry.lazy("schema.authors")]:
        from schema.authors import Author

        return Author(name=f"of {self.title}")

    @strawberry.field
    def instance(self) -> str:
        return instance


async def load(titles: list[str]) -> list[Book]:
    return [Book(title=title) for title in titles]


async def find(title: str) -> Book:
    loader: DataLoader[str, Book] = DataLoader(load)
    return await loader.load(title)
