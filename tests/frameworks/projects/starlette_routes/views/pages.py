"""Pages."""

from pathlib import Path

import who
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.templating import Jinja2Templates

templates = Jinja2Templates(Path(__file__).parents[1] / "templates")


def page(request: Request) -> Response:
    return templates.TemplateResponse(request, "page.html", {"name": request.path_params["name"]})


async def same(request: Request) -> Response:
    def look() -> dict[str, bool]:
        from main import app

        from views import items

        return {
            "application": app is request.app,
            "instance": items.instance is who.instance,
            "context": who.path.get() == "/same",
        }

    return JSONResponse([look(), await run_in_threadpool(look)])
