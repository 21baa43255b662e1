"""Every setting, declared once: its name, type, default, help and check.

The command line, its environment variables and the programming interface are all generated from `Config`. An instance
is made before any thread starts and is never written afterwards, so every thread may read it; the loop threads copy
what a request needs.
"""

import copy
import math
import os
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from threadserve.errors import ConfigError
from threadserve.types import ASGIApp

Check = Callable[[Any], str | None]


def at_least(minimum: float) -> Check:
    """A check that a number is not below `minimum`."""
    return lambda value: None if value >= minimum else f"{value} is less than {minimum}"


def between(minimum: int, maximum: int) -> Check:
    """A check that a number is from `minimum` to `maximum`."""
    return lambda value: None if minimum <= value <= maximum else f"{value} is not from {minimum} to {maximum}"


def setting(
    default: Any,
    help: str,
    *,
    group: str,
    choices: Sequence[str] = (),
    check: Check | None = None,
    negated: str = "",
    metavar: str = "",
) -> Any:
    """Declares one setting.

    `choices` are its only values, `check` returns what is wrong with a value, `negated` is the flag that turns it off,
    `group` is the heading of its place in `--help`, and `metavar` names its value there.
    """
    metadata = {"help": help, "group": group, "choices": choices, "check": check, "negated": negated, "metavar": metavar}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


LOG_LEVELS = ("critical", "error", "warning", "info", "debug", "trace")
PLAIN_TYPES = {str: "text", bool: "true or false", int: "a whole number", float: "a number", list: "a list"}

LOGGING_CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "default": {
            "()": "threadserve.logs.DefaultFormatter",
            "fmt": "%(levelprefix)s %(message)s",
            "use_colors": None,
        },
        "access": {
            "()": "threadserve.logs.AccessFormatter",
            "fmt": '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s',
            "use_colors": None,
        },
    },
    "handlers": {
        "default": {
            "formatter": "default",
            "class": "threadserve.logs.ConsoleHandler",
            "stream": "ext://sys.stderr",
        },
        "access": {
            "formatter": "access",
            "class": "threadserve.logs.ConsoleHandler",
            "stream": "ext://sys.stdout",
        },
    },
    "loggers": {
        "threadserve": {"handlers": ["default"], "level": "INFO"},
        "threadserve.error": {"level": "INFO"},
        "threadserve.access": {"handlers": ["access"], "level": "INFO"},
    },
}

SERVING = "Serving"
APPLICATION = "Application"
LIMITS = "Limits and timeouts"
HEADERS = "Response headers"
LOGGING = "Logging"
PROGRAM_ONLY = ""


@dataclass(eq=False)
class Config:
    """What to serve, where and how. Names, defaults and meanings are Uvicorn's wherever Uvicorn has them.

    Raises `ConfigError` with the setting's name where a value cannot be.
    """

    app: ASGIApp | str | Any = setting(None, "The application: module:attribute, or an object.", group=PROGRAM_ONLY)

    host: str = setting("127.0.0.1", "Bind to this host name or address.", group=SERVING)
    port: int = setting(8000, "Bind to this port; 0 picks a free one.", group=SERVING, check=between(0, 65535))
    backlog: int = setting(2048, "Connections that may wait to be accepted.", group=SERVING, check=at_least(1))
    threads: int | None = setting(
        None,
        "Event-loop threads. Default: $WEB_CONCURRENCY or one per usable CPU on a free-threaded build, one on others.",
        group=SERVING,
        check=between(1, 1024),
    )
    distribute: Literal["least-busy", "round-robin", "kernel"] = setting(
        "least-busy", "Which thread gets a new connection.", group=SERVING, choices=("least-busy", "round-robin", "kernel")
    )
    loop: Literal["auto", "asyncio", "uvloop"] = setting(
        "auto", "Event-loop implementation.", group=SERVING, choices=("auto", "asyncio", "uvloop")
    )
    http: Literal["auto", "h11", "httptools"] = setting(
        "auto", "HTTP/1.1 parser; auto is httptools.", group=SERVING, choices=("auto", "h11", "httptools")
    )

    app_dir: str = setting("", "Look for the application in this folder. Default: the working directory.", group=APPLICATION)
    factory: bool = setting(False, "Treat the application as a factory: call it to get the app.", group=APPLICATION)
    app_instance: Literal["thread", "shared"] = setting(
        "thread", "One app instance per thread, or one shared by all.", group=APPLICATION, choices=("thread", "shared")
    )
    interface: Literal["auto", "asgi3", "asgi2"] = setting(
        "auto", "Application interface.", group=APPLICATION, choices=("auto", "asgi3", "asgi2")
    )
    lifespan: Literal["auto", "on", "off"] = setting(
        "auto", "Lifespan implementation.", group=APPLICATION, choices=("auto", "on", "off")
    )
    root_path: str = setting("", "The path below which the application is mounted.", group=APPLICATION)

    limit_concurrency: int | None = setting(
        None, "Requests in flight at once; beyond it 503 is answered.", group=LIMITS, check=at_least(1)
    )
    limit_max_requests: int | None = setting(
        None, "Stop after this many requests.", group=LIMITS, check=at_least(1)
    )
    limit_max_requests_jitter: int = setting(
        0, "Add a random number up to this to the limit of requests.", group=LIMITS, check=at_least(0)
    )
    limit_request_header_size: int = setting(
        65536, "Largest head of a request, in bytes; beyond it 431 or 414 is answered.", group=LIMITS, check=at_least(64)
    )
    limit_request_header_fields: int = setting(
        100, "Most header fields in a request; beyond it 431 is answered.", group=LIMITS, check=at_least(1)
    )
    h11_max_incomplete_event_size: int | None = setting(
        None, "With h11: most bytes of an incomplete head, where that is less.", group=LIMITS, check=at_least(64)
    )
    timeout_keep_alive: float = setting(
        5, "Close a connection that is idle for this many seconds.", group=LIMITS, check=at_least(0)
    )
    timeout_request_header: float = setting(
        30, "Answer 408 when a request's head takes more than this many seconds.", group=LIMITS, check=at_least(0.1)
    )
    timeout_graceful_shutdown: float = setting(
        20, "Cut off requests that are still running this many seconds after the signal.", group=LIMITS, check=at_least(0)
    )

    headers: list[tuple[str, str]] = setting(
        [], "Add this header to every response, as Name:Value; may be repeated.", group=HEADERS, metavar="NAME:VALUE"
    )
    server_header: bool = setting(
        True, "Send the server header.", group=HEADERS, negated="--no-server-header"
    )
    date_header: bool = setting(True, "Send the date header.", group=HEADERS, negated="--no-date-header")

    log_level: str | int | None = setting(None, "Log level. Default: info.", group=LOGGING, choices=LOG_LEVELS)
    access_log: bool = setting(True, "Log every request.", group=LOGGING, negated="--no-access-log")
    use_colors: bool | None = setting(
        None, "Colour the log. Default: when it goes to a terminal.", group=LOGGING, negated="--no-use-colors"
    )
    log_config: dict[str, Any] | None = setting(LOGGING_CONFIG, "A logging.config.dictConfig.", group=PROGRAM_ONLY)

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for declared in settings():
            value = getattr(self, declared.name)
            problem = problem_with(value, hints[declared.name], declared.metadata)
            if problem is not None:
                raise ConfigError(declared.name, problem)

    @property
    def thread_count(self) -> int:
        """How many loop threads serve: `threads`, or this build's default."""
        return self.threads if self.threads is not None else default_threads()

    @property
    def head_limit(self) -> int:
        """The most bytes that a request's head may have with the parser in use."""
        if self.http == "h11" and self.h11_max_incomplete_event_size is not None:
            return min(self.limit_request_header_size, self.h11_max_incomplete_event_size)
        return self.limit_request_header_size


def settings() -> list[Field[Any]]:
    """The declarations of all settings, in the order of the help."""
    return list(fields(Config))


def problem_with(value: object, hint: Any, metadata: Mapping[str, Any]) -> str | None:
    """What is wrong with a setting's value, or None.

    `hint` is the setting's type and `metadata` what `setting()` recorded. A log level may also be given as a number.
    """
    if value is None or hint is Any:
        return None if hint is Any or type(None) in get_args(hint) else "a value is needed"
    kinds = [kind for kind in PLAIN_TYPES if kind in (hint, get_origin(hint), *get_args(hint))]
    if kinds and not fits(value, kinds):
        return f"{value!r} is not {' or '.join(PLAIN_TYPES[kind] for kind in kinds)}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a finite number"
    if metadata["choices"] and isinstance(value, str) and value not in metadata["choices"]:
        return f"{value!r} is not one of {', '.join(metadata['choices'])}"
    return metadata["check"](value) if metadata["check"] else None


def fits(value: object, kinds: Sequence[type]) -> bool:
    """Whether a value is of one of these types, where a bool is no number and a whole number is a number too."""
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, tuple(kinds)) or (float in kinds and isinstance(value, int))


def free_threaded_build() -> bool:
    """Whether this interpreter was built to run without the GIL (PEP 703)."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def default_threads() -> int:
    """The number of loop threads where none is set: on a build with the GIL threads would only take turns."""
    if not free_threaded_build():
        return 1
    wanted = os.environ.get("WEB_CONCURRENCY", "")
    if not wanted:
        return usable_cpus()
    if not wanted.isascii() or not wanted.isdigit() or int(wanted) < 1:
        raise ConfigError("threads", f"$WEB_CONCURRENCY is {wanted!r}, not a number of threads")
    return int(wanted)


def usable_cpus() -> int:
    """How many CPUs this process may run on."""
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
