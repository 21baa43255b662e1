"""`run`: one process, several, or one that starts anew when the code changes.

Runs on the thread that calls it, which is the main thread for the command line. It owns nothing that serves.
"""

from typing import Any

from threadserve.config import Config
from threadserve.errors import ConfigError
from threadserve.listening.listeners import open_listeners
from threadserve.processes.reloader import Reloader
from threadserve.processes.supervisor import Supervisor
from threadserve.server import Server


def run(app: Any, **settings: Any) -> None:
    """Serves an application, given as "module:attribute" or as an object, until a signal or a failure.

    `settings` are those of `Config`. Raises `ThreadserveError` when the server cannot start or go on.
    """
    config = Config(app, **settings)
    if not config.use_subprocess:
        Server(config).run()
        return
    check_processes(config)
    if config.reload:
        Reloader(config, open_listeners(config)).run()
    else:
        Supervisor(config, open_listeners(config)).run()


def check_processes(config: Config) -> None:
    """Raises `ConfigError` where other processes cannot serve what this one was given."""
    option = "reload" if config.reload else "workers"
    if not isinstance(config.app, str):
        raise ConfigError(option, 'other processes cannot be given an object: pass the app as "module:attribute"')
    if config.reload and config.workers is not None and config.workers > 1:
        raise ConfigError("reload", "it serves with one process: leave out --workers, or use --threads")
