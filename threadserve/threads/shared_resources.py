"""The resources that all loops of a process share.

Made on the server's thread, which stops them; used by every loop's thread.
"""

from collections.abc import Callable
from dataclasses import dataclass

from threadserve.app.loading import AppLoader
from threadserve.app.startups import StartupCoordinator
from threadserve.config import Config
from threadserve.http.bounds import Bounds
from threadserve.http.concurrency import ConcurrencyLimit
from threadserve.http.idle_release import GiveBack
from threadserve.logging.access_log import AccessLogWriter
from threadserve.threads.app_threads import AppThreads
from threadserve.tls.certificates import Certificates


@dataclass(frozen=True)
class SharedResources:
    """The resources that all loops share. Every part may be used from any thread.

    `on_loaded` is called on each loop's thread when the application is loaded. `give_back_threadsafe` takes idle
    connections; without it they stay with their loops. Without `app_threads` each loop has threads of its own for
    blocking calls.
    """

    config: Config
    loader: AppLoader
    startups: StartupCoordinator
    access_log: AccessLogWriter | None
    limit: ConcurrencyLimit | None
    certificates: Certificates | None
    bounds: Bounds
    on_loaded: Callable[[], object]
    give_back_threadsafe: GiveBack | None = None
    app_threads: AppThreads | None = None
