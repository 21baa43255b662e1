"""The figures to reach: what is measured, of which server, against which peers, and the result wanted."""

from loadtests.figures.connections import CONNECTIONS_FIGURES
from loadtests.figures.figure import Figure
from loadtests.figures.http import HTTP_FIGURES
from loadtests.figures.http2 import HTTP2_FIGURES
from loadtests.figures.operations import OPERATIONS_FIGURES
from loadtests.figures.request_path import REQUEST_PATH_FIGURES
from loadtests.figures.websocket import WEBSOCKET_FIGURES
from loadtests.figures.wsgi import WSGI_FIGURES

# By a name for all of them.
GROUPS: dict[str, tuple[Figure, ...]] = {
    "request-path": REQUEST_PATH_FIGURES,
    "http": HTTP_FIGURES,
    "http2": HTTP2_FIGURES,
    "wsgi": WSGI_FIGURES,
    "websockets": WEBSOCKET_FIGURES,
    "connections": CONNECTIONS_FIGURES,
    "operations": OPERATIONS_FIGURES,
}
FIGURES = tuple(figure for figures in GROUPS.values() for figure in figures)


def chosen(names: tuple[str, ...]) -> list[Figure]:
    """The figures of these names, and of groups of these names, in the order of the table; without any name all."""
    return [
        figure
        for group, figures in GROUPS.items()
        for figure in figures
        if not names or group in names or figure.name in names
    ]
