"""Authors, who have books."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import strawberry

if TYPE_CHECKING:
    from schema.books import Book


@strawberry.type
class Author:
    name: str

    @strawberry.field
    def books(self) -> list[Annotated[Book, strawberry.lazy(".books")]]:
        from schema.books import Book

        return [Book(title=f"by {self.name}")]
