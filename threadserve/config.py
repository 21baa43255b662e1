"""Every setting, declared once: its name, type, default, help and check.

The command line, its environment variables and the programming interface are all generated from `Config`. An instance
is made before any thread starts and is never written afterwards, so every thread may read it; the loop threads copy
what a request needs.
"""

import copy
import math
import os
import re
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, field, fields
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from threadserve.checks import Check, at_least, between, existing_folder, header_fields
from threadserve.errors import ConfigError

LOG_LEVELS = ("critical", "error", "warning", "info", "debug", "trace")

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
        "threadserve.access": {"handlers": ["access"], "level": "INFO", "propagate": True},
    },
}

# The headings of the help, in which every setting has its group.
SERVING = "Serving"
APPLICATION = "Application"
LIMITS = "Limits and timeouts"
HEADERS = "Response headers"
LOGGING = "Logging"

PLAIN_TYPES = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Sequence: "a list",
    dict: "a dict",
}

LONGEST_TIMEOUT = 10**9  # Seconds: as good as never, and within threading.TIMEOUT_MAX.
number_of_threads = between(1, 1024)


def setting(
    default: Any,
    help: str,
    *,
    group: str,
    check: Check | None = None,
    flag: str = "",
    choices: Sequence[str] = (),
    metavar: str = "",
    shown_default: str = "",
) -> Any:
    """Declares one setting that is on the command line too.

    `group` is its heading in the help and `check` returns what is wrong with a value. `flag` is its name on the command
    line where that is not its own, and `choices` are the texts that it may be where its type does not list them.
    `metavar` names its value in the help, and `shown_default` describes a default there that is no plain value.
    """
    metadata = {
        "help": help,
        "group": group,
        "check": check,
        "flag": flag,
        "choices": choices,
        "metavar": metavar,
        "shown_default": shown_default,
    }
    return field(default=default, metadata=metadata)


@dataclass(eq=False)
class Config:
    """What to serve, where and how. Names, defaults and meanings are Uvicorn's wherever Uvicorn has them.

    `app` is the application as module:attribute or the object itself, `log_config` a `logging.config.dictConfig`, or
    None to leave logging as it is; every other setting is described by its help. Sizes are in bytes, timeouts in
    seconds. Raises `ConfigError` with the setting's name where a value cannot be.
    """

    app: Callable[..., Any] | str

    host: str = setting("127.0.0.1", "Bind to this host name or address.", group=SERVING, metavar="HOST")
    port: int = setting(
        8000, "Bind to this port; 0 picks a free one.", group=SERVING, check=between(0, 65535), metavar="PORT"
    )
    backlog: int = setting(
        2048, "Connections that may wait to be accepted.", group=SERVING, check=between(1, 2**31 - 1)
    )
    threads: int | None = setting(
        None,
        "Threads, each with an event loop of its own.",
        group=SERVING,
        check=number_of_threads,
        shown_default="$WEB_CONCURRENCY or one per usable CPU; 1 on a build with the GIL",
    )
    distribute: Literal["least-busy", "round-robin", "kernel"] = setting(
        "least-busy", "How to choose the thread for a new connection.", group=SERVING
    )
    loop: Literal["auto", "asyncio", "uvloop"] = setting("auto", "Event-loop implementation.", group=SERVING)
    http: Literal["auto", "h11", "httptools"] = setting("auto", "HTTP/1.1 parser; auto is httptools.", group=SERVING)

    app_dir: str = setting(
        "",
        "Look for the application in this folder.",
        group=APPLICATION,
        check=existing_folder,
        metavar="DIR",
        shown_default="the working directory",
    )
    factory: bool = setting(False, "Treat the application as a factory: call it to get the app.", group=APPLICATION)
    app_instance: Literal["thread", "shared"] = setting(
        "thread", "One app instance per thread, or one shared by all.", group=APPLICATION
    )
    interface: Literal["auto", "asgi3", "asgi2"] = setting("auto", "Application interface.", group=APPLICATION)
    lifespan: Literal["auto", "on", "off"] = setting(
        "auto", "Whether the application has lifespan events.", group=APPLICATION
    )
    root_path: str = setting(
        "", "The URL path below which the application is mounted.", group=APPLICATION, metavar="PATH"
    )

    limit_concurrency: int | None = setting(
        None,
        "Requests in flight at once; beyond it 503 is answered.",
        group=LIMITS,
        check=at_least(1),
        shown_default="no limit",
    )
    limit_max_requests: int | None = setting(
        None, "Stop after this many requests.", group=LIMITS, check=at_least(1), shown_default="no limit"
    )
    limit_max_requests_jitter: int = setting(
        0, "Add a random number up to this to --limit-max-requests.", group=LIMITS, check=at_least(0)
    )
    limit_request_header_size: int = setting(
        65536,
        "Largest head of a request; beyond it 431 or 414 is answered.",
        group=LIMITS,
        check=at_least(64),
        metavar="BYTES",
    )
    limit_request_header_fields: int = setting(
        100, "Most header fields in a request; beyond it 431 is answered.", group=LIMITS, check=at_least(1)
    )
    h11_max_incomplete_event_size: int | None = setting(
        None,
        "Largest head of a request with --http h11, where that is less.",
        group=LIMITS,
        check=at_least(64),
        metavar="BYTES",
        shown_default="--limit-request-header-size",
    )
    timeout_keep_alive: float = setting(
        5, "Close a connection that has been idle for this long.", group=LIMITS, check=between(0, LONGEST_TIMEOUT)
    )
    timeout_request_header: float = setting(
        30,
        "Answer 408 when the head of a request takes longer than this.",
        group=LIMITS,
        check=between(0.1, LONGEST_TIMEOUT),
    )
    timeout_graceful_shutdown: float = setting(
        20,
        "Cut off requests that still run this long after the signal to stop.",
        group=LIMITS,
        check=between(0, LONGEST_TIMEOUT),
    )

    headers: Sequence[tuple[str, str]] = setting(
        (),
        "Add this header to every response; may be repeated. In $THREADSERVE_HEADERS: one a line.",
        group=HEADERS,
        check=header_fields,
        flag="--header",
        metavar="NAME:VALUE",
    )
    server_header: bool = setting(True, "Send the Server header.", group=HEADERS)
    date_header: bool = setting(True, "Send the Date header.", group=HEADERS)

    log_level: str | int | None = setting(
        None, "Log what is at least this important.", group=LOGGING, choices=LOG_LEVELS, shown_default="info"
    )
    access_log: bool = setting(True, "Log every request.", group=LOGGING)
    use_colors: bool | None = setting(None, "Colour the log.", group=LOGGING, shown_default="on a terminal")
    log_config: dict[str, Any] | None = field(default_factory=lambda: copy.deepcopy(LOGGING_CONFIG))

    def __post_init__(self) -> None:
        if isinstance(self.log_level, str):
            self.log_level = self.log_level.lower()
        for declared in fields(self):
            problem = problem_with(declared, getattr(self, declared.name))
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
    """The declarations of all settings that are on the command line, in the order of the help."""
    return [declared for declared in fields(Config) if declared.metadata]


def plain_types(declared: Field[Any]) -> list[type]:
    """The plain types that a setting's values have; none where its type is more than `PLAIN_TYPES` can tell."""
    hint: Any = declared.type
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    origins = [get_origin(member) or member for member in members if member is not type(None)]
    kinds = [str if origin is Literal else origin for origin in origins]
    return kinds if all(kind in PLAIN_TYPES for kind in kinds) else []


def choices(declared: Field[Any]) -> Sequence[str]:
    """The only texts that a setting may be; none where it may be any."""
    return get_args(declared.type) if get_origin(declared.type) is Literal else declared.metadata.get("choices", ())


def problem_with(declared: Field[Any], value: object) -> str | None:
    """What is wrong with a setting's value, or None. A log level may also be given as a number."""
    if value is None:
        return None if type(None) in get_args(declared.type) else "a value is needed"
    kinds = plain_types(declared)
    if kinds and not _fits(value, kinds):
        return f"{value!r} is not {' or '.join(PLAIN_TYPES[kind] for kind in kinds)}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a finite number"
    allowed = choices(declared)
    if allowed and isinstance(value, str) and value not in allowed:
        return f"{value!r} is not one of {', '.join(allowed)}"
    check: Check | None = declared.metadata.get("check")
    return check(value) if check else None


def _fits(value: object, kinds: Sequence[type]) -> bool:
    """Whether a value is of one of these types, where true is no number, text no list, and 1 is a number too."""
    if isinstance(value, (bool, str)):
        return type(value) in kinds
    return isinstance(value, tuple(kinds)) or (float in kinds and isinstance(value, int))


def free_threaded_build() -> bool:
    """Whether this interpreter was built to run without the GIL (PEP 703)."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def default_threads() -> int:
    """The number of loop threads where none is set: on a build with the GIL threads would only take turns.

    Raises `ConfigError` if $WEB_CONCURRENCY is not a number of threads.
    """
    if not free_threaded_build():
        return 1
    wanted = os.environ.get("WEB_CONCURRENCY", "")
    if not wanted:
        return usable_cpus()
    if not re.fullmatch(r"[0-9]{1,4}", wanted) or number_of_threads(int(wanted)):
        raise ConfigError("threads", f"$WEB_CONCURRENCY is {wanted!r}, not a number of threads")
    return int(wanted)


def usable_cpus() -> int:
    """How many CPUs this process may run on."""
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
