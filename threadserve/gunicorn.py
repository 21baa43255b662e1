"""Serving inside Gunicorn's workers: `gunicorn APP -k threadserve.gunicorn.ThreadserveWorker`.

Gunicorn's arbiter makes a worker and forks; all else runs in the worker's process: signal handlers on its main thread,
which a lone loop has, and what `Observer` declares on the server's thread. It owns that process's server; the sockets
are the arbiter's and shared by all workers. It never touches a connection. This is the only module that needs Gunicorn.

Each worker runs `--threads` loop threads, and as many that call a WSGI application. Gunicorn's default, 1, is one loop
thread, and for a WSGI application our default pool: one thread would answer one request at a time. Every loop has an
instance of the application; with `--preload` and `--reload`, or when a program starts Gunicorn with an application
class of its own, they share the one that Gunicorn has loaded.
"""

import ast
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any, ClassVar

from gunicorn import util
from gunicorn.app.wsgiapp import WSGIApplication
from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from threadserve.config import Config
from threadserve.config.environment import load_environment
from threadserve.errors import AppImportFailed, ConfigError, ThreadserveError
from threadserve.listening.tcp import SharedListener
from threadserve.logging.formatters import iterate_handlers
from threadserve.server import Server
from threadserve.serving import Observer

# Before the arbiter kills a worker at the end of its graceful timeout, requests are cut off and the lifespan ends.
CUT_OFF = 2.0
# Heartbeats are about a second apart.
SHORTEST_TIMEOUT = 3

# Settings that Gunicorn has for its own ASGI worker, in those of its versions that have one.
ASGI_SETTINGS = {"loop": "asgi_loop", "lifespan": "asgi_lifespan", "root_path": "root_path"}


class ThreadserveWorker(Worker, Observer):
    """A worker process of Gunicorn's that serves with threads.

    A subclass may set any setting of `Config` in `CONFIG_KWARGS`; it has the last word over Gunicorn's settings.
    """

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {}

    is_supervised = True
    # Gunicorn's own handlers stay, for it sends some signals more than once.
    stop_signals = ()
    upkeep_signals = ()

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Ends the arbiter with one line when it starts with a setting that cannot be used."""
        try:
            cls.make_config(cfg)
        except ConfigError as error:
            log.error("%s", error)
            sys.exit(error.exit_code)
        if 0 < cfg.timeout < SHORTEST_TIMEOUT:
            log.warning("Workers give a sign of life every second: --timeout %d may kill good ones.", cfg.timeout)
        if has_proxy_protocol(cfg) and cfg.proxy_allow_ips != cfg.forwarded_allow_ips:
            log.warning("PROXY headers are taken from --forwarded-allow-ips, not from --proxy-allow-from.")

    @classmethod
    def make_config(cls, cfg: Any) -> Config:
        """The configuration for Gunicorn's, but for the application. Raises `ConfigError`."""
        config = Config("gunicorn", **{**settings_from(cfg), **cls.CONFIG_KWARGS})
        load_environment(config)
        return config

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.config = self.make_config(self.cfg)
        self._server: Server | None = None
        self._abortion: SystemExit | None = None

    def run(self) -> None:
        """Serves until the arbiter's signal, a limit or a failure."""
        config = replace(self.config, access_log=self.config.access_log and self.log.access_log.hasHandlers())
        self._server = server = Server(replace(config, **self._application()), observer=self)
        if config.log_config is None:
            use_handlers_of(self.log)
        server.should_exit = not self.alive
        try:
            server.run([SharedListener(fileno=listener.detach()) for listener in self.sockets])
        except ThreadserveError as error:
            self.log.critical("%s", error, exc_info=error.__cause__ if isinstance(error, AppImportFailed) else None)
            # This code has the arbiter give up, where it would otherwise start workers without end. One that has
            # served is replaced, whatever its own code means to the arbiter.
            sys.exit(ThreadserveError.exit_code if server.started else Arbiter.WORKER_BOOT_ERROR)
        if self._abortion is not None:
            raise self._abortion

    def on_tick(self, *, has_moved: bool) -> None:
        """Gives the arbiter a sign of life, and stops when it is gone or Gunicorn's reloader has seen a change."""
        if has_moved:
            self.notify()
        if self.ppid != os.getppid():
            self.log.info("Parent changed, shutting down: %s", self)
            self.alive = False
        if not self.alive:
            self._stop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM stops in order. It may come again, without meaning more."""
        super().handle_exit(sig, frame)
        self._stop()

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """SIGQUIT and SIGINT stop at once."""
        if self._server is None:
            super().handle_quit(sig, frame)
            return
        self.alive = False
        self.cfg.worker_int(self)
        self._stop(at_once=True)

    def handle_usr1(self, sig: int, frame: FrameType | None) -> None:
        """SIGUSR1 has log files opened anew: Gunicorn opens those of its own, and the server all that there are."""
        super().handle_usr1(sig, frame)
        if self._server is not None:
            self._server.handle_upkeep(sig, frame)

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """SIGABRT comes when there was no sign of life for too long, and a second before SIGKILL."""
        self._stop(at_once=True)
        try:
            super().handle_abort(sig, frame)
        except SystemExit as error:
            # It would kill the loop that runs on this thread, to be raised when the server has stopped.
            if self._server is None:
                raise
            self._abortion = error

    def _stop(self, *, at_once: bool = False) -> None:
        if self._server is not None:
            self._server.force_exit = self._server.force_exit or at_once
            self._server.should_exit = True

    def _application(self) -> dict[str, Any]:
        """The settings that say where the application comes from: a fresh one for each thread, where that can be."""
        uri = getattr(self.app, "app_uri", None)
        is_named = isinstance(self.app, WSGIApplication) and type(self.app).load is WSGIApplication.load
        if not (uri and is_named) or self.cfg.paste or self.cfg.preload_app or self.cfg.reload:
            return {"app": self.wsgi}
        module, _, attribute = uri.partition(":")
        if attribute and isinstance(ast.parse(attribute, mode="eval").body, ast.Call):
            return {"app": first_then(self.wsgi, lambda: util.import_app(uri)), "factory": True}
        return {"app": f"{module}:{attribute or 'application'}"}


def settings_from(cfg: Any) -> dict[str, Any]:
    """What Gunicorn's settings are called here."""
    return {
        "workers": max(1, cfg.workers),
        "threads": cfg.threads,
        "wsgi_threads": cfg.threads if cfg.threads > 1 else None,
        "backlog": cfg.backlog,
        "limit_max_requests": cfg.max_requests or None,
        "limit_max_requests_jitter": cfg.max_requests_jitter,
        "limit_request_header_fields": max(1, cfg.limit_request_fields),
        "timeout_keep_alive": cfg.keepalive,
        "timeout_graceful_shutdown": max(cfg.graceful_timeout - CUT_OFF, cfg.graceful_timeout / 2),
        # Gunicorn trusts everybody who can connect to a Unix socket.
        "forwarded_allow_ips": [*cfg.forwarded_allow_ips, "unix:"],
        "proxy_protocol": has_proxy_protocol(cfg),
        "access_log_format": cfg.access_log_format,
        "log_config": None,
        **{ours: getattr(cfg, theirs) for ours, theirs in ASGI_SETTINGS.items() if theirs in cfg.settings},
        **(tls_settings_from(cfg) if cfg.is_ssl else {}),
    }


def tls_settings_from(cfg: Any) -> dict[str, Any]:
    """What Gunicorn's settings of TLS are called here. It ignores its `ssl_version` itself."""
    return {
        "ssl_certfile": cfg.certfile,
        "ssl_keyfile": cfg.keyfile,
        "ssl_cert_reqs": int(cfg.cert_reqs),
        "ssl_ca_certs": cfg.ca_certs,
        "ssl_ciphers": cfg.ciphers,
        "ssl_context_factory": lambda config, default: cfg.ssl_context(cfg, default),
    }


def has_proxy_protocol(cfg: Any) -> bool:
    """Whether connections begin with a PROXY header; of a version of its own choice in newer versions of Gunicorn."""
    return cfg.proxy_protocol not in (False, "off")


def first_then(first: Any, make: Callable[[], Any]) -> Callable[[], Any]:
    """A factory that gives what there is already, and after that what it makes."""
    waiting = [first]
    return lambda: waiting.pop() if waiting else make()


def use_handlers_of(log: Any) -> None:
    """Has Gunicorn's handlers write what is logged here."""
    for name, theirs in (("threadserve", log.error_log), ("threadserve.access", log.access_log)):
        ours = logging.getLogger(name)
        ours.handlers = list(iterate_handlers(theirs))
        ours.setLevel(theirs.level)
        ours.propagate = False
