"""The processes and threads that the server would have, and the CPUs that the machine gives them.

Runs on any thread. It owns nothing and starts nothing.
"""

import math
from typing import TypedDict

from threadserve.check.findings import Finding, Level
from threadserve.config import Config
from threadserve.logging.wording import format_count
from threadserve.runtime.cpus import count_schedulable_cpus, count_usable_cpus, read_cpu_quota
from threadserve.runtime.gil import is_free_threaded_build


class Capacity(TypedDict):
    """The threads and processes of a server, by their names in the report."""

    processes: int
    threads: int
    wsgi_threads: int
    app_threads: int
    helper_threads: list[str]
    interface: str
    usable_cpus: int
    cpus_by_affinity: int
    cpu_quota: float | None
    free_threaded: bool


def plan_capacity(config: Config, interface: str) -> Capacity:
    """Return the threads and processes that the server would have.

    `interface` is the application's, "auto" if it is not known. `cpu_quota` is None without a quota of a control group.
    The access log's writer counts without an access log too.
    """
    quota = read_cpu_quota()
    return {
        "processes": config.worker_count,
        "threads": config.thread_count,
        "wsgi_threads": config.wsgi_thread_count if interface == "wsgi" else 0,
        "app_threads": config.app_thread_count if interface != "wsgi" else 0,
        "helper_threads": list_helper_threads(config),
        "interface": interface,
        "usable_cpus": count_usable_cpus(),
        "cpus_by_affinity": count_schedulable_cpus(),
        "cpu_quota": None if math.isinf(quota) else quota,
        "free_threaded": is_free_threaded_build(),
    }


def list_helper_threads(config: Config) -> list[str]:
    """Return the purposes of the server's threads other than loops and the application's threads."""
    watches = config.timeout_loop_stall or config.timeout_loop_exit
    purposes = ("acceptor", True), ("access log", True), ("watchdog", watches), ("admin address", config.admin_bind)
    return [name for name, is_started in purposes if is_started]


def describe_capacity(numbers: Capacity) -> Finding:
    """Return the numbers in a sentence."""
    threads = [format_count(numbers["threads"], "event loop")]
    if numbers["wsgi_threads"]:
        threads.append(format_count(numbers["wsgi_threads"], "thread") + " for WSGI")
    if numbers["app_threads"]:
        threads.append(f"up to {format_count(numbers['app_threads'], 'thread')} for what blocks")
    threads += [f"one for the {helper}" for helper in numbers["helper_threads"]]
    processes = format_count(numbers["processes"], "process", "processes")
    each = " each" if numbers["processes"] > 1 else ""
    quota = numbers["cpu_quota"]
    limits = f"{numbers['cpus_by_affinity']} by affinity, {'no quota' if quota is None else f'a quota of {quota:g}'}"
    message = (
        f"There would be {processes} with {', '.join(threads)}{each}, on {format_count(numbers['usable_cpus'], 'CPU')}"
    )
    return Finding(Level.NOTE, "would-run", f"{message} ({limits}).")
