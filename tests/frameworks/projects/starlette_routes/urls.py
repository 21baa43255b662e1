"""Which path is whose."""

from starlette.routing import Mount, Route
from views import pages
from views.items import Items

routes = [
    Route("/page/{name}", pages.page, name="page"),
    Route("/same", pages.same),
    Mount("/items", routes=[Route("/", Items)]),
]
