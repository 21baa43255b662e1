"""A FastAPI project of many modules, laid out as people do: routers with models, and an app that includes them all."""

from pathlib import Path

APP = "shop.main:app"
MODULES = 60
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


def write(folder: Path) -> None:
    """Write the project into a folder: the package, the app, and so many routers that there are `MODULES`."""
    routers = MODULES - 2
    (folder / "shop").mkdir()
    sources = {f"things{number}": ROUTER.format(number=number) for number in range(routers)}
    for name, source in (sources | {"__init__": "", "main": MAIN.format(routers=routers)}).items():
        (folder / f"shop/{name}.py").write_text(source)
