"""Authors, with what they wrote."""

from __future__ import annotations

from domain import Author
from litestar import Controller, post


class AuthorController(Controller):
    path = "/authors"

    @post()
    async def add(self, data: Author, limit: int) -> Author:
        return Author(data.name, data.books[:limit])
