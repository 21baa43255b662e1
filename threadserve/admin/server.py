"""The admin thread: it answers at the admin address on a loop of its own, whatever the other loops do.

Everything runs on the admin thread but `start` and `stop`, which the server's thread calls. It owns its listeners, its
loop and its connections, shares no lock with a loop that serves, and never runs application code.
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
from threadserve.listening.listeners import bind_addresses
from threadserve.listening.tcp import Listeners, close_all, format_urls, is_tcp, make_bind_error
from threadserve.runtime.loops import find_loop_factory
from threadserve.threads.loop_runners import LoopThread
from threadserve.threads.loop_server import LoopServer, Phase
from threadserve.threads.shared_resources import SharedResources

logger = logging.getLogger("threadserve.error")

ADMIN_OPTION = "admin_bind"
BACKLOG = 128
# A Unix socket is for its owner alone unless a setting says otherwise.
DEFAULT_UDS_PERMISSIONS = 0o600
# Shorter than for the application: at the end no client of the admin address is worth waiting for.
ADMIN_BOUNDS = Bounds(idle_grace_seconds=0.0, shutdown_tick_seconds=0.02, linger_seconds=0.5)
# At the end clients have this time to take their answers, and then the thread has this time to end.
DRAIN_SECONDS = 0.5
ABANDON_SECONDS = 2.0


class AdminServer:
    """The admin thread, which answers on these listeners from a source."""

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
        shared = SharedResources(
            config, AppLoader(config), StartupCoordinator(config), None, None, None, ADMIN_BOUNDS, lambda: None
        )
        self._server = LoopServer(shared, 0, self._on_report)
        self._thread = LoopThread(self._server, find_loop_factory("auto"), self._on_end, name="threadserve-admin")

    def start(self) -> None:
        """Start the thread. Log where it listens, with a warning if other machines can reach it."""
        for place in format_urls(self.listeners, "http"):
            logger.info("Health, metrics and status on %s: /livez, /readyz, /metrics, /status", place)
        if exposed := find_exposed_host(self.listeners):
            logger.warning(
                "--admin-bind %s is not on loopback: whoever reaches it sees what this server does.", exposed
            )
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the listeners."""
        self._server.stop_threadsafe()
        if not self._thread.join(DRAIN_SECONDS):
            self._server.terminate_threadsafe()
            self._thread.join(ABANDON_SECONDS)
        for listener in self.listeners:
            listener.close()

    def post_threadsafe(self, call: Callable[[], object]) -> None:
        """Make a call on the admin thread, after those that were posted before."""
        self._server.post_threadsafe(call)

    def _on_report(self, server: LoopServer, phase: Phase, error: BaseException | None) -> None:
        if phase is Phase.READY:
            server.listen_threadsafe(self.listeners)

    def _on_end(self, error: BaseException | None) -> None:
        if error is not None:
            logger.critical("The admin thread died.", exc_info=error)


def listen_for_admin(config: Config, others: Listeners) -> Listeners:
    """Return sockets that listen at the admin address; none if it is not set.

    Raises `BindError` or `ConfigError` when the address cannot be used, after closing these sockets and the `others`.
    """
    if config.admin_bind is None:
        return []
    try:
        permissions = config.uds_permissions if config.uds_permissions is not None else DEFAULT_UDS_PERMISSIONS
        return open_admin_listeners(config.admin_bind, permissions)
    except ThreadserveError:
        close_all(others)
        raise


def open_admin_listeners(address: str, permissions: str | int | None) -> Listeners:
    """Return sockets that listen at an address. Raises `BindError` or `ConfigError`, and leaves none open then."""
    listeners = bind_addresses([address], permissions, ADMIN_OPTION)
    for listener in listeners:
        try:
            listener.listen(BACKLOG)
        except OSError as error:
            problem = make_bind_error(listener.getsockname(), error)
            close_all(listeners)
            raise problem from error
    return listeners


def find_exposed_host(listeners: Sequence[socket]) -> str:
    """Return the first host that other machines can reach, or ""."""
    hosts = [listener.getsockname()[0] for listener in listeners if is_tcp(listener)]
    return next((host for host in hosts if not ipaddress.ip_address(host).is_loopback), "")
