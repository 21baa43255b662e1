"""A FastAPI project of many modules, laid out as people do: routers with models, and an app that includes them all."""

from pathlib import Path

ROUTER = """
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

router = APIRouter(prefix="/things{number}")


class Part(BaseModel):
    name: str
    count: int = 1


class Thing(BaseModel):
    name: str
    price: Annotated[float, Field(gt=0)]
    parts: list[Part] = []


@router.post("")
async def make(thing: Thing) -> Thing:
    return thing


@router.get("/{{number}}")
async def find(number: int) -> Part:
    return Part(name="part", count=number)
"""

MAIN = """
import importlib

from fastapi import FastAPI

app = FastAPI()
for number in range({routers}):
    app.include_router(importlib.import_module(f"shop.things{{number}}").router)
app.get("/")(lambda: "shop")
"""
# Beside the routers: the package and the app.
OTHER_MODULES = 2


def write(folder: Path, modules: int) -> None:
    """Write a project of so many modules into a folder; its app is `shop.main:app`."""
    routers = modules - OTHER_MODULES
    package = folder / "shop"
    package.mkdir()
    sources = {f"things{number}": ROUTER.format(number=number) for number in range(routers)}
    sources |= {"__init__": "", "main": MAIN.format(routers=routers)}
    for name, source in sources.items():
        (package / f"{name}.py").write_text(source)
