"""Items, kept in a class."""

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from who import instance


class Items(HTTPEndpoint):
    kept: dict[str, str] = {}  # noqa: RUF012

    async def get(self, request: Request) -> Response:
        return JSONResponse(sorted(set(self.kept.values())) == [instance])

    async def post(self, request: Request) -> Response:
        self.kept[(await request.json())["name"]] = instance
        return Response(status_code=201)
