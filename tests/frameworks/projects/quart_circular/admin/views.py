"""The blueprint's views."""

from admin import admin


class Forbidden(Exception):
    pass


@admin.get("/")
async def index() -> str:
    raise Forbidden("the admin alone")


@admin.errorhandler(Forbidden)
async def forbidden(error: Forbidden) -> tuple[str, int]:
    return str(error), 403
