"""How many processes and threads there would be, and what the machine leaves them.

Runs on whichever thread asks. It owns nothing and starts nothing.
"""

import math
from typing import Any

from threadserve.check.findings import Finding, Level
from threadserve.config import Config
from threadserve.logging.wording import format_count
from threadserve.runtime.cpus import count_schedulable_cpus, count_usable_cpus, read_cpu_quota
from threadserve.runtime.gil import is_free_threaded_build


def plan_capacity(config: Config, interface: str) -> dict[str, Any]:
    """The numbers, by their names in the report. `interface` is the application's, "auto" where it is not known.

    `cpu_quota` is None where no control group has one; the access log's writer is there without an access log as well.
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
    """What the server has threads for beside its loops and the application's."""
    watches = config.timeout_loop_stall or config.timeout_loop_exit
    named = ("acceptor", True), ("access log", True), ("watchdog", watches), ("admin address", config.admin_bind)
    return [name for name, is_there in named if is_there]


def describe_capacity(numbers: dict[str, Any]) -> Finding:
    """The same in a sentence."""
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
