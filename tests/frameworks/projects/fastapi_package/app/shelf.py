"""Books, which have authors, who have books."""

from __future__ import annotations

import enum

from pydantic import BaseModel, field_validator

import app.models as models


class Kind(enum.Enum):
    novel = "novel"
    essay = "essay"


class Book(BaseModel):
    title: str
    kind: Kind = Kind.novel
    author: models.Author | None = None

    @field_validator("title")
    @classmethod
    def not_blank(cls, title: str) -> str:
        if not title.strip():
            raise ValueError("a title has letters")
        return title


STORE = {"Emma": Book(title="Emma"), "Walden": Book(title="Walden", kind=Kind.essay)}
