"""What those who run a server see of it, and when they are warned. Declarations only."""

from dataclasses import dataclass
from typing import ClassVar

from threadserve.config.checks import admin_address, between
from threadserve.config.declaring import LONGEST_TIMEOUT, setting


@dataclass(eq=False, kw_only=True)
class Operations:
    """Health, metrics and warnings."""

    heading: ClassVar = "Operations"

    admin_bind: str | None = setting(
        None,
        "Answer /livez, /readyz, /metrics, /status and /status.json at this address.",
        check=admin_address,
        metavar="HOST:PORT|unix:PATH",
        shown_default="nowhere",
    )
    timeout_loop_stall: float = setting(
        1,
        "Log what blocks an event loop for longer than this; 0 watches nothing.",
        check=between(0, LONGEST_TIMEOUT),
    )
    timeout_loop_exit: float | None = setting(
        None,
        "End the process as a failure when all its event loops have been blocked for this long.",
        check=between(0.1, LONGEST_TIMEOUT),
        shown_default="never",
    )
    log_slow_requests: float | None = setting(
        None,
        "Log requests that take longer than this.",
        check=between(0, LONGEST_TIMEOUT),
        metavar="SECONDS",
        shown_default="none",
    )
    shutdown_delay: float = setting(
        0,
        "Serve on for this long after the signal to stop, while /readyz says that the server is about to.",
        check=between(0, LONGEST_TIMEOUT),
    )
