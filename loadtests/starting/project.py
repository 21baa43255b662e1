"""A FastAPI project of many modules, laid out as people do: routers with models, and an app that includes them all."""

from pathlib import Path

ROUTER = """
from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from shop.settings import Settings, get_settings

router = APIRouter(prefix="/things{number}")


class Thing(BaseModel):
    name: str
    price: Annotated[float, Field(gt=0)]
    parts: list[Part] = []


class Part(BaseModel):
    name: str
    count: int = 1


@router.post("")
async def make(thing: Thing, settings: Annotated[Settings, Depends(get_settings)]) -> Thing:
    return thing


@router.get("/{{number}}")
async def find(number: int) -> Part:
    return Part(name="part", count=number)
"""

SETTINGS = """
from functools import lru_cache

from pydantic import BaseModel


class Settings(BaseModel):
    name: str = "shop"


@lru_cache
def get_settings() -> Settings:
    return Settings()
"""

MAIN = """
import importlib

from fastapi import FastAPI

app = FastAPI()
for number in range({routers}):
    app.include_router(importlib.import_module(f"shop.routers.things{{number}}").router)


@app.get("/")
async def index() -> str:
    return "shop"
"""
# Beside the routers: the package, its routers' package, the settings and the app.
OTHER_MODULES = 4


def write(folder: Path, modules: int) -> None:
    """Writes a project of so many modules into a folder; its app is `shop.main:app`."""
    routers = modules - OTHER_MODULES
    package = folder / "shop"
    (package / "routers").mkdir(parents=True)
    for name, source in {
        "__init__.py": "",
        "routers/__init__.py": "",
        "settings.py": SETTINGS,
        "main.py": MAIN.format(routers=routers),
        **{f"routers/things{number}.py": ROUTER.format(number=number) for number in range(routers)},
    }.items():
        (package / name).write_text(source)
