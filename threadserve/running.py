"""`run`: serves with one process, with several, or with one that is restarted when the code changes.

Runs on the thread that calls it, which is the main thread for the command line. It owns nothing that serves.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from threadserve.app.import_guard import is_import_running
from threadserve.config import Config
from threadserve.config.config import ADDRESS_SETTINGS, NOT_SET
from threadserve.config.environment import load_environment
from threadserve.errors import ConfigError
from threadserve.listening.listeners import open_listeners
from threadserve.runtime.signals import ignoring_upkeep_signals
from threadserve.server import Server
from threadserve.tls.certificates import load_certificates
from threadserve.types import AnyApp
from threadserve.workers.child import check_picklable
from threadserve.workers.reloader import Reloader
from threadserve.workers.supervisor import Supervisor

logger = logging.getLogger("threadserve.error")


def run(app: AnyApp | str, **settings: Any) -> None:
    """Serve an application, given as "module:attribute" or as an object, until a signal or a failure.

    `settings` are those of `Config`. Raises `ThreadserveError` if the server cannot start or go on. Does nothing while
    an application is being imported.
    """
    if is_import_running():
        return
    with ignoring_upkeep_signals():
        config = Config(app, **settings)
        load_environment(config)
        # Read once: the file may be a pipe.
        serve_config(replace(config, env_file=None), settings)


def serve_config(config: Config, settings: Mapping[str, object]) -> None:
    """Serve as a configuration made with these settings asks for."""
    server: Server | Reloader | Supervisor
    if not (config.use_subprocess or is_to_be_supervised(config)):
        server = Server(config)
        server.owns_process = True
    else:
        check_processes(config)
        server = (Reloader if config.reload else Supervisor)(config, open_listeners(config))
    warn_of_unused(settings)
    server.run()


def warn_of_unused(settings: Mapping[str, object]) -> None:
    """Warn about a host or port that is not used because another setting says where to listen."""
    used = next((name for name in ADDRESS_SETTINGS if settings.get(name) not in NOT_SET), None)
    unused = [f"--{name}" for name in ("host", "port") if name in settings]
    if used and unused:
        verb = "is" if len(unused) == 1 else "are"
        logger.warning("%s %s not used: --%s says where to listen.", " and ".join(unused), verb, used)


def is_to_be_supervised(config: Config) -> bool:
    """Return whether to use a supervisor for one worker: it was asked for, and the application can be passed to it."""
    if config.workers is None or not isinstance(config.app, str):
        return False
    try:
        check_picklable(config)
    except ConfigError:
        return False
    return True


def check_processes(config: Config) -> None:
    """Raise `ConfigError` if other processes cannot be given the application, or cannot use the certificates."""
    option = "reload" if config.reload else "workers"
    if not isinstance(config.app, str):
        raise ConfigError(option, 'other processes cannot be given an object: pass the app as "module:attribute"')
    if config.reload and config.workers not in (None, 1):
        raise ConfigError("reload", "it serves with one process: leave out --workers, or use --threads")
    load_certificates(config, 1)
