"""Books."""

from blacksheep.server.controllers import Controller, get


class Books(Controller):
    @get("/books/same")
    async def same(self) -> str:
        from main import instance

        return instance
