"""The configuration of a server: all groups of settings in one object, checked, and what follows from them.

An instance is made before any thread starts and is never written afterwards, so every thread may read it; the loop
threads copy what a request needs.
"""

from dataclasses import dataclass, fields

from threadserve.compat.config import UvicornConfig
from threadserve.config.declaring import find_problem
from threadserve.config.defaults import (
    default_app_threads,
    default_threads,
    default_workers,
    default_wsgi_threads,
    threads_for_all_cpus,
    workers_for_all_cpus,
)
from threadserve.config.settings import (
    ApplicationSettings,
    HeaderSettings,
    LimitSettings,
    LoggingSettings,
    OperationSettings,
    ProcessSettings,
    ProxySettings,
    ServingSettings,
    TLSSettings,
    WebSocketSettings,
    WSGISettings,
)
from threadserve.errors import ConfigError

# The settings in place of host and port. Only one of them can be meant.
ADDRESS_SETTINGS = ("uds", "fd", "bind")
NOT_SET: tuple[object, ...] = (None, (), [])


# The order of a dataclass's fields is that of its bases from the last to the first.
@dataclass(eq=False)
class Config(
    OperationSettings,
    LoggingSettings,
    HeaderSettings,
    LimitSettings,
    ProxySettings,
    TLSSettings,
    WebSocketSettings,
    WSGISettings,
    ProcessSettings,
    ApplicationSettings,
    ServingSettings,
    UvicornConfig,
):
    """The application to serve, and the settings. Names, defaults and meanings are Uvicorn's wherever it has them.

    `app` is the application as module:attribute or the object itself, `log_config` may also be a
    `logging.config.dictConfig`, or None to leave logging as it is, and `ssl_context_factory(config, default)` returns
    the `ssl.SSLContext` to use, `default()` being what it would be otherwise. `callback_notify()` is awaited on one
    loop of each process about every `timeout_notify` seconds, which are one at least. Every other setting is described
    by its help. Sizes are in bytes, timeouts in seconds. Raises `ConfigError` with the setting's name for a value that
    it cannot have.
    """

    def __post_init__(self) -> None:
        self.headers = self.headers if self.headers is not None else ()
        if isinstance(self.log_level, str):
            self.log_level = self.log_level.lower()
        for declared in fields(self):
            problem = find_problem(declared, getattr(self, declared.name))
            if problem is not None:
                raise ConfigError(declared.name, problem)
        self._check_addresses()

    def _check_addresses(self) -> None:
        given = [name for name in ADDRESS_SETTINGS if getattr(self, name) not in NOT_SET]
        if len(given) > 1:
            raise ConfigError(given[1], f"cannot be combined with {given[0]}")
        if self.admin_bind is not None and self.admin_bind.startswith("unix:"):
            path = self.admin_bind.removeprefix("unix:")
            if path == self.uds or f"unix:{path}" in self.bind:
                raise ConfigError("admin_bind", f"the application is served at {path!r}")

    @property
    def thread_count(self) -> int:
        """The number of loop threads in each process."""
        if self.threads == "auto":
            return threads_for_all_cpus(self.worker_count)
        if self.threads is not None:
            return self.threads
        return default_threads(has_workers=self.workers is not None, is_wsgi=self.interface == "wsgi")

    @property
    def worker_count(self) -> int:
        """The number of processes that serve."""
        if self.workers == "auto":
            return workers_for_all_cpus()
        return self.workers if self.workers is not None else default_workers()

    @property
    def use_subprocess(self) -> bool:
        """True where processes other than this one serve."""
        return self.reload or self.worker_count > 1

    @property
    def app_thread_count(self) -> int:
        """The number of threads that the default executors of all loops have together."""
        return self.app_threads if self.app_threads is not None else default_app_threads()

    @property
    def wsgi_thread_count(self) -> int:
        """The number of threads that call a WSGI application."""
        return self.wsgi_threads if self.wsgi_threads is not None else default_wsgi_threads()

    @property
    def head_limit(self) -> int:
        """The most bytes that a request's head may have with the parser in use."""
        if self.http == "h11" and self.h11_max_incomplete_event_size is not None:
            return min(self.limit_request_header_size, self.h11_max_incomplete_event_size)
        return self.limit_request_header_size

    @property
    def is_measured(self) -> bool:
        """True where each request is counted and timed."""
        return self.admin_bind is not None or self.log_slow_requests is not None

    @property
    def is_ssl(self) -> bool:
        """True where connections are encrypted."""
        return self.ssl_certfile is not None or self.ssl_context_factory is not None
