"""Whether what belongs together is found together."""

import importlib
import pickle
import sys
import typing

from fastapi import APIRouter, Request

from app.core.config import get_settings
from app.models import Author
from app.shelf import STORE, Book

router = APIRouter()


@router.get("/inside")
async def inside(request: Request) -> dict[str, bool]:
    return look(request.app)


@router.get("/inside/thread")
def inside_of_a_thread(request: Request) -> dict[str, bool]:
    return look(request.app)


def look(running: object) -> dict[str, bool]:
    from app.main import app

    return {
        "the application": app is running,
        "by name": importlib.import_module("app.main").app is app,
        "in sys.modules": sys.modules["app.shelf"].Book is Book,
        "pickled": type(pickle.loads(pickle.dumps(STORE["Emma"]))) is Book,
        "hinted": typing.get_type_hints(Book, vars(sys.modules[Book.__module__]))["author"] == Author | None,
        "rebuilt": Author.model_rebuild(force=True) is True,
        "cached": get_settings() is sys.modules["app.core.config"].get_settings(),
    }
