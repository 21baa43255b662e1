"""The part of Uvicorn's `Config` that is no setting.

Runs on whichever thread asks. It owns nothing; the sockets that it binds belong to whoever asked for them.
"""

import socket

from threadserve.listening.listeners import ListenerSettings, open_listeners
from threadserve.runtime.loops import LoopFactory, find_loop_factory


class NoLifespan:
    """The value of a program's `server.lifespan`. It does nothing: each loop has a lifespan of its own."""

    def __init__(self, config: object) -> None:
        self.config = config


class UvicornConfig(ListenerSettings):
    """The methods and attributes that `Config` has for programs alone."""

    loop: str
    reload: bool
    loaded = False
    lifespan_class = NoLifespan

    def load(self) -> None:
        """Mark the configuration as complete. The application is loaded later, by each thread that serves it."""
        self.loaded = True

    def bind_socket(self) -> socket.socket:
        """Bind the first of the sockets that are asked for, to be given to `Server.run`. Raises `BindError`."""
        first, *others = open_listeners(self)
        for other in others:
            other.close()
        first.set_inheritable(True)
        return first

    def get_loop_factory(self) -> LoopFactory:
        """Return a factory of event loops. Raises `ConfigError` where there is no such loop."""
        return find_loop_factory(self.loop)

    @property
    def should_reload(self) -> bool:
        """True where the server restarts when the code changes."""
        return self.reload
