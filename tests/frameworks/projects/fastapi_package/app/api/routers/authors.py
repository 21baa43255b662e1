"""Authors."""

from fastapi import APIRouter
from pydantic import TypeAdapter

from app.models import Author, Page
from app.shelf import Book

router = APIRouter()


@router.post("/")
async def add(author: Author) -> Page[Author]:
    return Page[Author](items=[author], following=Page(items=[Author(name="next")]))


@router.post("/books")
def add_books(titles: list[str]) -> Page[Book]:
    books = TypeAdapter(list[Book]).validate_python([{"title": title, "author": {"name": "A."}} for title in titles])
    return Page(items=books)
