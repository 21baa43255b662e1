"""Serving inside Gunicorn's workers: `gunicorn APP -k threadserve.gunicorn.ThreadserveWorker`.

Gunicorn's arbiter makes a worker and forks; all else runs in the worker's process: signal handlers on its main thread,
where the loop runs if there is one only, and the methods of `Observer` on the server's thread. The worker owns its
process's server; the sockets belong to the arbiter and are shared by all workers. It never touches a connection. This
is the only module that needs Gunicorn.

Each worker runs `--threads` loop threads, and as many that call a WSGI application. With Gunicorn's default, 1, that is
one loop thread and, for a WSGI application, the default pool: with one thread it would answer one request at a time.
Every loop has an instance of the application. With `--preload` and `--reload`, or if a program starts Gunicorn with an
application class of its own, the loops share the one that Gunicorn has loaded.
"""

import ast
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any, ClassVar, TypeVar

from gunicorn import util
from gunicorn.app.wsgiapp import WSGIApplication
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config as GunicornConfig
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from threadserve.config import Config
from threadserve.config.environment import load_environment
from threadserve.errors import AppImportFailed, ConfigError, ThreadserveError
from threadserve.listening.tcp import SharedListener
from threadserve.logging.formatters import iterate_handlers
from threadserve.observer import Observer
from threadserve.server import Server
from threadserve.types import SettingValues

App = TypeVar("App")

# The time for cutting off requests and for lifespan shutdown, before the arbiter kills a worker at the end of its
# graceful timeout.
CUT_OFF_SECONDS = 2.0
# Heartbeats are about a second apart.
MIN_TIMEOUT_SECONDS = 3

# Settings of Gunicorn's own ASGI worker, in those versions that have one.
ASGI_SETTINGS = {"loop": "asgi_loop", "lifespan": "asgi_lifespan", "root_path": "root_path"}


class ThreadserveWorker(Worker, Observer):
    """A worker process of Gunicorn that serves with threads.

    A subclass may set any setting of `Config` in `CONFIG_KWARGS`, which override Gunicorn's settings.
    """

    CONFIG_KWARGS: ClassVar[SettingValues] = {}

    is_supervised = True
    # Gunicorn's own handlers stay: it sends some signals more than once.
    stop_signals = ()
    upkeep_signals = ()

    @classmethod
    def check_config(cls, cfg: GunicornConfig, log: Logger) -> None:
        """End the arbiter with one line if it is started with a setting that cannot be used."""
        try:
            cls.make_config(cfg)
        except ConfigError as error:
            log.error("%s", error)
            sys.exit(error.exit_code)
        if 0 < cfg.timeout < MIN_TIMEOUT_SECONDS:
            log.warning("Workers give a sign of life every second: --timeout %d may kill good ones.", cfg.timeout)
        if has_proxy_protocol(cfg) and cfg.proxy_allow_ips != cfg.forwarded_allow_ips:
            log.warning("PROXY headers are taken from --forwarded-allow-ips, not from --proxy-allow-from.")

    @classmethod
    def make_config(cls, cfg: GunicornConfig) -> Config:
        """Return the configuration for Gunicorn's settings, but for the application. Raises `ConfigError`."""
        config = Config("gunicorn", **{**translate_settings(cfg), **cls.CONFIG_KWARGS})
        load_environment(config)
        return config

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.config = self.make_config(self.cfg)
        self._server: Server | None = None
        self._abort_exit: SystemExit | None = None

    def run(self) -> None:
        """Serve until the arbiter's signal, a limit or a failure."""
        config = replace(self.config, access_log=self.config.access_log and self.log.access_log.hasHandlers())
        self._server = server = Server(replace(config, **self._app_settings()), observer=self)
        if config.log_config is None:
            use_gunicorn_handlers(self.log)
        server.should_exit = not self.alive
        try:
            server.run([SharedListener(fileno=listener.detach()) for listener in self.sockets])
        except ThreadserveError as error:
            self.log.critical("%s", error, exc_info=error.__cause__ if isinstance(error, AppImportFailed) else None)
            # With this code the arbiter gives up, where it would otherwise start workers without end. A worker that has
            # served is replaced, whatever its own code means to the arbiter.
            sys.exit(ThreadserveError.exit_code if server.started else Arbiter.WORKER_BOOT_ERROR)
        if self._abort_exit is not None:
            raise self._abort_exit

    def on_heartbeat(self, *, is_alive: bool) -> None:
        """Send the arbiter a heartbeat, and stop if the arbiter is gone or Gunicorn's reloader has seen a change."""
        if is_alive:
            self.notify()
        if self.alive and self.ppid != os.getppid():
            self.log.info("Parent changed, shutting down: %s", self)
            self.alive = False
        # To set it anew would wake the server's thread, which calls this again.
        if not self.alive and self._server is not None and not self._server.should_exit:
            self._stop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle SIGTERM: stop gracefully. If it comes again it means the same."""
        super().handle_exit(sig, frame)
        self._stop()

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Handle SIGQUIT and SIGINT: stop at once."""
        if self._server is None:
            super().handle_quit(sig, frame)
            return
        self.alive = False
        self.cfg.worker_int(self)
        self._stop(at_once=True)

    def handle_usr1(self, sig: int, frame: FrameType | None) -> None:
        """Handle SIGUSR1: Gunicorn reopens its log files, and the server all others."""
        super().handle_usr1(sig, frame)
        if self._server is not None:
            self._server.handle_upkeep(sig, frame)

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """Handle SIGABRT, which comes after too long without a heartbeat, a second before SIGKILL."""
        self._stop(at_once=True)
        try:
            super().handle_abort(sig, frame)
        except SystemExit as error:
            # Raised when the server has stopped: here it would kill the loop that runs on this thread.
            if self._server is None:
                raise
            self._abort_exit = error

    def _stop(self, *, at_once: bool = False) -> None:
        if self._server is not None:
            self._server.force_exit = self._server.force_exit or at_once
            self._server.should_exit = True

    def _app_settings(self) -> SettingValues:
        """Return the settings for the application: a new instance for each thread, if that is possible."""
        uri = getattr(self.app, "app_uri", None)
        is_named = isinstance(self.app, WSGIApplication) and type(self.app).load is WSGIApplication.load
        if not (uri and is_named) or self.cfg.paste or self.cfg.preload_app or self.cfg.reload:
            return {"app": self.wsgi}
        module, _, attribute = uri.partition(":")
        if attribute and isinstance(ast.parse(attribute, mode="eval").body, ast.Call):
            return {"app": make_factory(self.wsgi, lambda: util.import_app(uri)), "factory": True}
        return {"app": f"{module}:{attribute or 'application'}"}


def translate_settings(cfg: GunicornConfig) -> SettingValues:
    """Translate Gunicorn's settings to those of `Config`."""
    return {
        "workers": max(1, cfg.workers),
        "threads": cfg.threads,
        "wsgi_threads": cfg.threads if cfg.threads > 1 else None,
        "backlog": cfg.backlog,
        "limit_max_requests": cfg.max_requests or None,
        "limit_max_requests_jitter": cfg.max_requests_jitter,
        "limit_request_header_fields": max(1, cfg.limit_request_fields),
        "timeout_keep_alive": cfg.keepalive,
        "timeout_graceful_shutdown": max(cfg.graceful_timeout - CUT_OFF_SECONDS, cfg.graceful_timeout / 2),
        # Gunicorn trusts every client of a Unix socket.
        "forwarded_allow_ips": [*cfg.forwarded_allow_ips, "unix:"],
        "proxy_protocol": has_proxy_protocol(cfg),
        "access_log_format": cfg.access_log_format,
        "log_config": None,
        **{ours: getattr(cfg, theirs) for ours, theirs in ASGI_SETTINGS.items() if theirs in cfg.settings},
        **(translate_tls_settings(cfg) if cfg.is_ssl else {}),
    }


def translate_tls_settings(cfg: GunicornConfig) -> SettingValues:
    """Translate Gunicorn's settings of TLS to those of `Config`. Gunicorn itself ignores its `ssl_version`."""
    return {
        "ssl_certfile": cfg.certfile,
        "ssl_keyfile": cfg.keyfile,
        "ssl_cert_reqs": int(cfg.cert_reqs),
        "ssl_ca_certs": cfg.ca_certs,
        "ssl_ciphers": cfg.ciphers,
        "ssl_context_factory": lambda config, default: cfg.ssl_context(cfg, default),
    }


def has_proxy_protocol(cfg: GunicornConfig) -> bool:
    """Return whether connections begin with a PROXY header. Newer versions of Gunicorn name its version."""
    return cfg.proxy_protocol not in (False, "off")


def make_factory(first: App, make: Callable[[], App]) -> Callable[[], App]:
    """Return a factory that returns `first`, and after that what `make` returns."""
    waiting = [first]
    return lambda: waiting.pop() if waiting else make()


def use_gunicorn_handlers(log: Logger) -> None:
    """Let Gunicorn's handlers write the server's log."""
    for name, theirs in (("threadserve", log.error_log), ("threadserve.access", log.access_log)):
        ours = logging.getLogger(name)
        ours.handlers = list(iterate_handlers(theirs))
        ours.setLevel(theirs.level)
        ours.propagate = False
