"""The figures to reach: what is measured, of which server, against which peers, and the result wanted."""

from loadtests.figures.http import HTTP_FIGURES
from loadtests.figures.websocket import WEBSOCKET_FIGURES
from loadtests.figures.wsgi import WSGI_FIGURES

__all__ = ["FIGURES"]

FIGURES = (*HTTP_FIGURES, *WSGI_FIGURES, *WEBSOCKET_FIGURES)
