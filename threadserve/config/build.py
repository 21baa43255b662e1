"""What the interpreter and the machine decide: how many threads and processes serve where nobody says.

Runs on whichever thread makes a configuration. It owns nothing.
"""

import os
import re
import sysconfig
from typing import Any

from threadserve.config.checks import between
from threadserve.config.cpus import usable_cpus
from threadserve.errors import ConfigError

# Of a request to a WSGI application a loop has about a tenth: a view of Flask's that does nothing takes ten times as
# long. The CPUs are for the threads that call the application.
CPUS_PER_WSGI_LOOP = 8

number_of_threads = number_of_workers = between(1, 1024)


def number_or_auto(value: Any) -> str | None:
    """A check that a number of threads or of processes is one, unless it is left to the number of CPUs."""
    return number_of_threads(value) if value != "auto" else None


def free_threaded_build() -> bool:
    """Whether this interpreter was built to run without the GIL (PEP 703)."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def default_threads(*, has_workers: bool, is_wsgi: bool) -> int:
    """The number of loop threads where none is set: one, for more of them mean more copies of the application.

    On a free-threaded build $WEB_CONCURRENCY asks for them, unless processes are asked for in its place. Of a WSGI
    application there is one copy, so there are as many loops as its threads can keep busy. Raises `ConfigError` if
    $WEB_CONCURRENCY is not a number of threads.
    """
    if has_workers or not free_threaded_build():
        return 1
    return web_concurrency("threads", otherwise=max(1, usable_cpus() // CPUS_PER_WSGI_LOOP) if is_wsgi else 1)


def threads_for_all_cpus(processes: int) -> int:
    """The number of loop threads in each of so many processes that divide the CPUs among them."""
    return max(1, usable_cpus() // processes)


def workers_for_all_cpus() -> int:
    """The number of processes where each is to have a CPU."""
    return usable_cpus()


def default_workers() -> int:
    """The number of processes where none is set: on a build with the GIL what $WEB_CONCURRENCY says, or one.

    Raises `ConfigError` if $WEB_CONCURRENCY is not a number of processes.
    """
    return 1 if free_threaded_build() else web_concurrency("workers")


def default_app_threads() -> int:
    """The number of threads for an application's blocking calls where none is set: asyncio's for one loop."""
    return min(32, usable_cpus() + 4)


def default_wsgi_threads() -> int:
    """The number of threads that call a WSGI application where none is set; with the GIL they mostly wait."""
    return max(4, 2 * usable_cpus()) if free_threaded_build() else 10


def web_concurrency(option: str, *, otherwise: int = 1) -> int:
    """What $WEB_CONCURRENCY says, which stands for this option, if it says anything. Raises `ConfigError`."""
    wanted = os.environ.get("WEB_CONCURRENCY", "")
    if not wanted:
        return otherwise
    if not re.fullmatch(r"[0-9]{1,4}", wanted) or number_of_workers(int(wanted)):
        raise ConfigError(option, f"$WEB_CONCURRENCY is {wanted!r}, not a number of {option}")
    return int(wanted)
