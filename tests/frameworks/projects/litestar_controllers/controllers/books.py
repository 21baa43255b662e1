"""Books: the secret stays inside."""

from domain import Book, Unknown
from litestar import Controller, Request, get, post
from litestar.dto import DataclassDTO, DTOConfig


class BookDTO(DataclassDTO[Book]):
    config = DTOConfig(exclude={"secret"})


class BookController(Controller):
    path = "/books"
    return_dto = BookDTO

    @post()
    async def add(self, data: Book) -> Book:
        return data

    @get("/unknown")
    async def unknown(self) -> Book:
        raise Unknown("nowhere")

    @get("/same", return_dto=None, sync_to_thread=True)
    def same(self, request: Request) -> bool:
        from app import app, instance

        return app is request.app and request.app.state.instance == instance
