"""What it is about."""

from __future__ import annotations

from dataclasses import dataclass, field


class Unknown(Exception):
    pass


@dataclass
class Book:
    title: str
    secret: str = "hidden"


@dataclass
class Author:
    name: str
    books: list[Book] = field(default_factory=list)
