"""threadserve: an ASGI server for free-threaded Python, one event loop per thread."""

from threadserve.config import Config
from threadserve.server import Server, run
from threadserve.version import __version__

__all__ = ["Config", "Server", "__version__", "run"]
