"""Default numbers of threads and processes, for this build of Python and this machine.

Runs on whichever thread asks a configuration. It owns nothing, and keeps nothing: $WEB_CONCURRENCY and the CPUs are
looked up on each call.
"""

import os
import re

from threadserve.config.checks import check_count
from threadserve.errors import ConfigError
from threadserve.runtime.cpus import count_usable_cpus
from threadserve.runtime.gil import is_free_threaded_build

# Of a request to a WSGI application a loop has about a tenth: a view of Flask's that does nothing takes ten times as
# long. The CPUs are for the threads that call the application.
CPUS_PER_WSGI_LOOP = 8


def default_threads(*, has_workers: bool, is_wsgi: bool) -> int:
    """Return the default number of loop threads: one, for more of them mean more copies of the application.

    On a free-threaded build $WEB_CONCURRENCY asks for them, unless processes are asked for in its place. Of a WSGI
    application there is one copy, so there are as many loops as its threads can keep busy. Raises `ConfigError` if
    $WEB_CONCURRENCY is not a number of threads.
    """
    if has_workers or not is_free_threaded_build():
        return 1
    return read_web_concurrency(
        "threads", otherwise=max(1, count_usable_cpus() // CPUS_PER_WSGI_LOOP) if is_wsgi else 1
    )


def threads_for_all_cpus(processes: int) -> int:
    """Return the number of loop threads in each of so many processes that divide the CPUs among them."""
    return max(1, count_usable_cpus() // processes)


def workers_for_all_cpus() -> int:
    """Return the number of processes where each is to have a CPU."""
    return count_usable_cpus()


def default_workers() -> int:
    """Return the default number of processes: on a build with the GIL what $WEB_CONCURRENCY says, or one.

    Raises `ConfigError` if $WEB_CONCURRENCY is not a number of processes.
    """
    return 1 if is_free_threaded_build() else read_web_concurrency("workers")


def default_app_threads() -> int:
    """Return the default number of threads for an application's blocking calls: asyncio's for one loop."""
    return min(32, count_usable_cpus() + 4)


def default_wsgi_threads() -> int:
    """Return the default number of threads that call a WSGI application; with the GIL they mostly wait."""
    return max(4, 2 * count_usable_cpus()) if is_free_threaded_build() else 10


def read_web_concurrency(option: str, *, otherwise: int = 1) -> int:
    """Return the number in $WEB_CONCURRENCY, which stands for this option, if it is set. Raises `ConfigError`."""
    wanted = os.environ.get("WEB_CONCURRENCY", "")
    if not wanted:
        return otherwise
    if not re.fullmatch(r"[0-9]{1,4}", wanted) or check_count(int(wanted)):
        raise ConfigError(option, f"$WEB_CONCURRENCY is {wanted!r}, not a number of {option}")
    return int(wanted)
