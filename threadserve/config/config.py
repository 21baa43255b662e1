"""The configuration of a server: all groups of settings in one object.

An instance is made before any thread starts and is never written afterwards, so every thread may read it; the loop
threads copy what a request needs. The command line, its environment variables, the configuration file and the
programming interface are all generated from the declarations in `groups`.
"""

import os
from dataclasses import Field, dataclass, fields
from typing import Any, ClassVar

from threadserve.config.build import (
    default_app_threads,
    default_threads,
    default_workers,
    default_wsgi_threads,
    threads_for_all_cpus,
    workers_for_all_cpus,
)
from threadserve.config.checks import trusted_hosts
from threadserve.config.declaring import problem_with
from threadserve.config.env_file import load_env_file
from threadserve.config.groups.application import Application
from threadserve.config.groups.headers import Headers
from threadserve.config.groups.limits import Limits
from threadserve.config.groups.log import Log
from threadserve.config.groups.operations import Operations
from threadserve.config.groups.processes import Processes
from threadserve.config.groups.proxies import Proxies
from threadserve.config.groups.serving import Serving
from threadserve.config.groups.tls import TLS
from threadserve.config.groups.websockets import WebSockets
from threadserve.config.groups.wsgi import WSGI
from threadserve.config.programs import ForPrograms
from threadserve.errors import ConfigError

GROUPS: tuple[Any, ...] = (
    Serving, Application, Processes, WSGI, WebSockets, TLS, Proxies, Limits, Headers, Log, Operations
)  # fmt: skip

# Where the address comes from; only one of them can be meant.
ADDRESSES = ("uds", "fd", "bind")
NOT_SET: tuple[Any, ...] = (None, (), [])


@dataclass(eq=False)
class Config(
    Operations, Log, Headers, Limits, Proxies, TLS, WebSockets, WSGI, Processes, Application, Serving, ForPrograms
):
    """What to serve, where and how. Names, defaults and meanings are Uvicorn's wherever Uvicorn has them.

    `app` is the application as module:attribute or the object itself, `log_config` may also be a
    `logging.config.dictConfig`, or None to leave logging as it is, and `ssl_context_factory(config, default)` returns
    the `ssl.SSLContext` to use, `default()` being what it would be otherwise. `callback_notify()` is awaited on one
    loop of each process about every `timeout_notify` seconds, which are one at least. Every other setting is described
    by its help. Sizes are in bytes, timeouts in seconds. Raises `ConfigError` with the setting's name where a value
    cannot be.
    """

    heading: ClassVar = ""

    def __post_init__(self) -> None:
        self.headers = self.headers if self.headers is not None else ()
        if isinstance(self.log_level, str):
            self.log_level = self.log_level.lower()
        for declared in fields(self):
            problem = problem_with(declared, getattr(self, declared.name))
            if problem is not None:
                raise ConfigError(declared.name, problem)
        if self.env_file is not None:
            load_env_file(self.env_file)
        if self.forwarded_allow_ips is None and (problem := trusted_hosts(os.environ.get("FORWARDED_ALLOW_IPS", ""))):
            raise ConfigError("forwarded_allow_ips", f"$FORWARDED_ALLOW_IPS: {problem}")
        given = [name for name in ADDRESSES if getattr(self, name) not in NOT_SET]
        if len(given) > 1:
            raise ConfigError(given[1], f"cannot be combined with {given[0]}")

        if self.admin_bind is not None and self.admin_bind.startswith("unix:"):
            path = self.admin_bind.removeprefix("unix:")
            if path == self.uds or f"unix:{path}" in self.bind:
                raise ConfigError("admin_bind", f"the application is served at {path!r}")

    @property
    def thread_count(self) -> int:
        """How many loop threads serve in each process: `threads`, or the default."""
        if self.threads == "auto":
            return threads_for_all_cpus(self.worker_count)
        if self.threads is not None:
            return self.threads
        return default_threads(has_workers=self.workers is not None, is_wsgi=self.interface == "wsgi")

    @property
    def worker_count(self) -> int:
        """How many processes serve: `workers`, or this build's default."""
        if self.workers == "auto":
            return workers_for_all_cpus()
        return self.workers if self.workers is not None else default_workers()

    @property
    def use_subprocess(self) -> bool:
        """Whether processes other than this one serve."""
        return self.reload or self.worker_count > 1

    @property
    def app_thread_count(self) -> int:
        """How many threads the default executors of all loops have together: `app_threads`, or the default."""
        return self.app_threads if self.app_threads is not None else default_app_threads()

    @property
    def wsgi_thread_count(self) -> int:
        """How many threads call a WSGI application: `wsgi_threads`, or this build's default."""
        return self.wsgi_threads if self.wsgi_threads is not None else default_wsgi_threads()

    @property
    def head_limit(self) -> int:
        """The most bytes that a request's head may have with the parser in use."""
        if self.http == "h11" and self.h11_max_incomplete_event_size is not None:
            return min(self.limit_request_header_size, self.h11_max_incomplete_event_size)
        return self.limit_request_header_size

    @property
    def is_measured(self) -> bool:
        """Whether each request is counted, and its times are taken."""
        return self.admin_bind is not None or self.log_slow_requests is not None

    @property
    def is_ssl(self) -> bool:
        """Whether connections are encrypted."""
        return self.ssl_certfile is not None or self.ssl_context_factory is not None


def groups() -> list[tuple[str, list[Field[Any]]]]:
    """The headings of the help, each with the declarations of its settings that are on the command line."""
    return [
        (group.heading, [declared for declared in vars(group)["__dataclass_fields__"].values() if declared.metadata])
        for group in GROUPS
    ]


def settings() -> list[Field[Any]]:
    """The declarations of all settings that are on the command line, in the order of the help."""
    return [declared for _, members in groups() for declared in members]
