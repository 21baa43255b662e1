"""Ariadne's resolvers, bound to the types by name."""

from ariadne import ObjectType, QueryType
from schema.books import instance

query = QueryType()
book = ObjectType("Book")


@query.field("book")
def resolve_book(*_: object, title: str) -> dict[str, str]:
    return {"title": title}


@book.field("instance")
def resolve_instance(*_: object) -> str:
    return instance
