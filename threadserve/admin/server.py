"""The admin thread: a loop of its own that answers at the admin address, whatever the other loops do.

Runs on its own thread, but for `start` and `stop`, which are the server's thread's. It owns its listeners, its loop and
its connections, and shares no lock with a loop that serves; it never runs application code.
"""

import ipaddress
import logging
from collections.abc import Callable, Sequence
from socket import socket

from threadserve.admin.app import AdminApp, StateSource
from threadserve.app.loading import AppLoader
from threadserve.app.startups import StartupCoordinator
from threadserve.config import Config
from threadserve.errors import ThreadserveError
from threadserve.http.bounds import Bounds
from threadserve.listening.listeners import bind_each_of
from threadserve.listening.tcp import Listeners, bind_error, close_all, has_port, places_of
from threadserve.runtime.loops import loop_factory
from threadserve.threads.hosts import LoopThread
from threadserve.threads.loop_server import LoopServer, Phase, Shared

logger = logging.getLogger("threadserve.error")

ADMIN_OPTION = "admin_bind"
BACKLOG = 128
# Of a Unix socket, where nobody says: its owner's alone.
UDS_PERMISSIONS = 0o600
# Who asks here again in the moment of the end has no claim to an answer.
ADMIN_BOUNDS = Bounds(idle_grace_seconds=0.0, shutdown_tick_seconds=0.02, linger_seconds=0.5)
# How long, in seconds, clients may take for their answers in the end, and then the thread for its own.
DRAIN_SECONDS = 0.5
ABANDON_SECONDS = 2.0


class AdminServer:
    """Answers for a source, on these listeners."""

    def __init__(self, listeners: Listeners, source: StateSource) -> None:
        self.listeners = listeners
        config = Config(
            AdminApp(source),
            interface="asgi3",
            lifespan="off",
            threads=1,
            ws="none",
            access_log=False,
            proxy_headers=False,
            forwarded_allow_ips="",
            release_idle=False,
            log_config=None,
        )
        shared = Shared(
            config, AppLoader(config), StartupCoordinator(config), None, None, None, ADMIN_BOUNDS, lambda: None
        )
        self._server = LoopServer(shared, 0, self._on_report)
        self._thread = LoopThread(self._server, loop_factory("auto"), self._on_end, name="threadserve-admin")

    def start(self) -> None:
        """Starts the thread. Says where it listens, and warns where others than this machine may ask."""
        for place in places_of(self.listeners, "http"):
            logger.info("Health, metrics and status on %s: /livez, /readyz, /metrics, /status", place)
        if exposed := find_exposed_host(self.listeners):
            logger.warning(
                "--admin-bind %s is not on loopback: whoever reaches it sees what this server does.", exposed
            )
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, and closes the listeners."""
        self._server.stop_threadsafe()
        if not self._thread.join(DRAIN_SECONDS):
            self._server.abandon_threadsafe()
            self._thread.join(ABANDON_SECONDS)
        for listener in self.listeners:
            listener.close()

    def post_threadsafe(self, call: Callable[[], object]) -> None:
        """Has a call made on the admin thread, in order."""
        self._server.post_threadsafe(call)

    def _on_report(self, server: LoopServer, phase: Phase, error: BaseException | None) -> None:
        if phase is Phase.READY:
            server.listen_threadsafe(self.listeners)

    def _on_end(self, error: BaseException | None) -> None:
        if error is not None:
            logger.critical("The admin thread died.", exc_info=error)


def listen_for_admin(config: Config, others: Listeners) -> Listeners:
    """Sockets that listen at the admin address, if there is one.

    Raises `BindError` or `ConfigError` when it cannot be used, and leaves none open then, nor any of the `others`.
    """
    if config.admin_bind is None:
        return []
    try:
        permissions = config.uds_permissions if config.uds_permissions is not None else UDS_PERMISSIONS
        return open_listeners(config.admin_bind, permissions)
    except ThreadserveError:
        close_all(others)
        raise


def open_listeners(address: str, permissions: str | int | None) -> Listeners:
    """Sockets that listen at the address. Raises `BindError` or `ConfigError`, and leaves none open."""
    listeners = bind_each_of([address], permissions, ADMIN_OPTION)
    for listener in listeners:
        try:
            listener.listen(BACKLOG)
        except OSError as error:
            problem = bind_error(listener.getsockname(), error)
            close_all(listeners)
            raise problem from error
    return listeners


def find_exposed_host(listeners: Sequence[socket]) -> str:
    """The first address that is reached from other machines, or ""."""
    hosts = [listener.getsockname()[0] for listener in listeners if has_port(listener)]
    return next((host for host in hosts if not ipaddress.ip_address(host).is_loopback), "")
