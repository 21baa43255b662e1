"""threadserve: an ASGI and WSGI server for free-threaded Python, one event loop per thread."""

from threadserve.runtime.forms import choose_form

choose_form()

from threadserve.cli import main
from threadserve.config import Config
from threadserve.running import run
from threadserve.server import Server
from threadserve.version import __version__

__all__ = ["Config", "Server", "__version__", "main", "run"]
