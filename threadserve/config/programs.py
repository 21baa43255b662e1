"""What programs that were written for Uvicorn ask of a configuration.

Runs on whichever thread asks. It owns nothing; the sockets that it binds belong to whoever asked for them.
"""

import socket
from typing import Any

from threadserve.listening.listeners import Addresses, open_listeners
from threadserve.runtime.loops import LoopFactory, loop_factory


class NoLifespan:
    """What such programs put in a server's `lifespan`, where this server keeps nothing: each loop has its own."""

    def __init__(self, config: Any) -> None:
        self.config = config


class ForPrograms(Addresses):
    """The part of `Config` that has Uvicorn's names and is no setting."""

    loop: str
    reload: bool
    loaded = False
    lifespan_class = NoLifespan

    def load(self) -> None:
        """Says that the configuration is complete. The application is loaded later, by each thread that serves it."""
        self.loaded = True

    def bind_socket(self) -> socket.socket:
        """Binds the first of the sockets that are asked for, which a server can then be given. Raises `BindError`."""
        first, *others = open_listeners(self)
        for other in others:
            other.close()
        first.set_inheritable(True)
        return first

    def get_loop_factory(self) -> LoopFactory:
        """How an event loop is made. Raises `ConfigError` where there is no such loop."""
        return loop_factory(self.loop)

    @property
    def should_reload(self) -> bool:
        """Whether the server is to start anew when the code changes."""
        return self.reload
