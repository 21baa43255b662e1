"""The page at the front."""

from blacksheep import get


@get("/hello/{name}")
async def hello(name: str) -> str:
    return f"hello {name}"


@get("/")
async def page() -> str:
    return "a page"
