"""What the interpreter and the machine decide: how many threads and processes serve where nobody says.

Runs on whichever thread makes a configuration. It owns nothing.
"""

import os
import re
import sysconfig

from threadserve.config.checks import between
from threadserve.errors import ConfigError

number_of_threads = number_of_workers = between(1, 1024)


def free_threaded_build() -> bool:
    """Whether this interpreter was built to run without the GIL (PEP 703)."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def default_threads() -> int:
    """The number of loop threads where none is set: on a build with the GIL threads would only take turns.

    Raises `ConfigError` if $WEB_CONCURRENCY is not a number of threads.
    """
    if not free_threaded_build():
        return 1
    return web_concurrency("threads") or usable_cpus()


def default_workers() -> int:
    """The number of processes where none is set: on a build with the GIL what $WEB_CONCURRENCY says, or one.

    Raises `ConfigError` if $WEB_CONCURRENCY is not a number of processes.
    """
    if free_threaded_build():
        return 1
    return web_concurrency("workers") or 1


def default_wsgi_threads() -> int:
    """The number of threads that call a WSGI application where none is set; with the GIL they mostly wait."""
    return max(4, 2 * usable_cpus()) if free_threaded_build() else 10


def web_concurrency(option: str) -> int:
    """What $WEB_CONCURRENCY says, which stands for this option; 0 where it says nothing. Raises `ConfigError`."""
    wanted = os.environ.get("WEB_CONCURRENCY", "")
    if not wanted:
        return 0
    if not re.fullmatch(r"[0-9]{1,4}", wanted) or number_of_threads(int(wanted)):
        raise ConfigError(option, f"$WEB_CONCURRENCY is {wanted!r}, not a number of {option}")
    return int(wanted)


def usable_cpus() -> int:
    """How many CPUs this process may run on."""
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
