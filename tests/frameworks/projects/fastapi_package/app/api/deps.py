"""What views depend on."""

from typing import Annotated

from fastapi import Depends

from app.core.config import Settings, get_settings
from app.core.errors import Missing
from app.shelf import STORE, Book

CurrentSettings = Annotated[Settings, Depends(get_settings)]


def known_book(title: str) -> Book:
    if title not in STORE:
        raise Missing(title)
    return STORE[title]


KnownBook = Annotated[Book, Depends(known_book)]
