"""The settings, made once."""

import secrets
from functools import lru_cache

from pydantic import BaseModel, Field


class Settings(BaseModel):
    title: str = "catalogue"
    key: str = Field(default_factory=secrets.token_hex)


@lru_cache
def get_settings() -> Settings:
    return Settings()
