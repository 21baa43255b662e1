"""Authors, and pages of anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel

if TYPE_CHECKING:
    from app.shelf import Book

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    items: list[T]
    following: Page[T] | None = None


class Author(BaseModel):
    name: str
    books: list[Book] = []
    mentor: Author | None = None


from app.shelf import Book  # noqa: E402

Author.model_rebuild()
