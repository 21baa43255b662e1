"""The application."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from urls import routes
from who import WhoAnswers

app = Starlette(routes=routes, middleware=[Middleware(WhoAnswers)])
