"""The log lines at the start of serving. Runs on the server's thread; keeps nothing."""

import logging
import os
import platform

from threadserve.app.loading import AppLoader
from threadserve.config import Config
from threadserve.listening.tcp import Listeners, format_urls
from threadserve.logging.formatters import log_emphasised
from threadserve.logging.wording import format_count
from threadserve.runtime.cpus import count_usable_cpus, describe_cpu_limit
from threadserve.runtime.forms import get_form
from threadserve.runtime.gil import is_free_threaded_build, is_gil_enabled
from threadserve.runtime.loops import resolve_loop_name
from threadserve.version import __version__

logger = logging.getLogger("threadserve.error")


def log_server_start(config: Config, loader: AppLoader, listeners: Listeners) -> None:
    """Log what serves, how, and at which addresses."""
    logger.info(
        "threadserve %s on %s %s, %s: %s, %s, %s, %s",
        __version__,
        platform.python_implementation(),
        platform.python_version(),
        format_gil_state(),
        format_count(config.thread_count, "thread"),
        format_instances(config, loader),
        resolve_loop_name(config.loop),
        format_parser(config.http),
    )
    log_form()
    log_limited_cpus()
    if config.thread_count > 1 and not is_free_threaded_build():
        logger.warning(
            "This build of Python has the GIL: the threads take turns. Free-threaded Python runs them at once."
        )
    if loader.wsgi is None:
        log_idle_cpus(config)
    log_addresses(config, listeners)


def format_parser(name: str) -> str:
    """Return the log's name for the parser of HTTP/1.1."""
    return "own parser" if name == "auto" else name


def format_instances(config: Config, loader: AppLoader) -> str:
    """Return the number of app instances for the log, and with several threads why it is what it is."""
    count = format_count(loader.instance_count, "app instance")
    if config.thread_count > 1 and loader.sharing_reason:
        return f"{count} (shared: {loader.sharing_reason})"
    if loader.copied_module_count:
        return f"{count} ({format_count(loader.copied_module_count, 'module')} of the project in each)"
    return count


def log_workers_start(config: Config, listeners: Listeners) -> None:
    """Log the same for several processes, of which this one is the supervisor."""
    logger.info(
        "threadserve %s on %s %s, %s: %s, %s each",
        __version__,
        platform.python_implementation(),
        platform.python_version(),
        format_gil_state(),
        format_count(config.worker_count, "process", "processes"),
        format_count(config.thread_count, "thread"),
    )
    log_form()
    log_limited_cpus()
    if config.interface != "wsgi":
        log_idle_cpus(config)
    log_addresses(config, listeners)


def log_form() -> None:
    """Log which form of the server runs."""
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("threadserve's own modules are %s.", get_form())


def log_limited_cpus() -> None:
    """Log how many CPUs this process may use, unless it may use all of the machine's."""
    if limit := describe_cpu_limit():
        logger.info(
            "This process may use %s (%s; %d in the machine).",
            format_count(count_usable_cpus(), "CPU"),
            limit,
            os.cpu_count(),
        )


def log_idle_cpus(config: Config) -> None:
    """Log how to use all CPUs if there are fewer threads. A WSGI application has threads of its own."""
    cpus, threads = count_usable_cpus(), config.worker_count * config.thread_count
    if is_free_threaded_build() and not is_gil_enabled() and cpus > threads:
        logger.info(
            'This process may use %d CPUs and serves on %s: --threads auto would use them all. Read "App instances" in '
            "the README first.",
            cpus,
            format_count(threads, "thread"),
        )


def log_addresses(config: Config, listeners: Listeners) -> None:
    """Log the addresses, and that nothing is watched if settings of `--reload` came without it."""
    if not config.reload and (config.reload_dirs or config.reload_includes or config.reload_excludes):
        logger.warning("Nothing is watched for changes: that takes --reload.")
    scheme = "https" if config.is_ssl else "http"
    for place in format_urls(listeners, scheme):
        log_emphasised(logger, "threadserve running on %s (Press CTRL+C to quit)", place, bold=True)


def format_gil_state() -> str:
    """Return whether the threads run at once, for the log."""
    if not is_free_threaded_build():
        return "with the GIL"
    return "free-threaded, but the GIL is on" if is_gil_enabled() else "free-threaded, the GIL is off"
