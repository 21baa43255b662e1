"""The project's own exceptions, and the responses that they are."""

from fastapi import Request
from fastapi.responses import JSONResponse


class CatalogueError(Exception):
    status = 400


class Missing(CatalogueError):
    status = 404


async def explain(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, CatalogueError)
    return JSONResponse({"error": type(error).__name__, "text": str(error)}, error.status)
