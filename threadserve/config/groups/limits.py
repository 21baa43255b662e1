"""How much, how many, how long. Declarations only."""

from dataclasses import dataclass
from typing import ClassVar

from threadserve.config.checks import at_least, between
from threadserve.config.declaring import LONGEST_TIMEOUT, setting


@dataclass(eq=False, kw_only=True)
class Limits:
    """Limits and timeouts."""

    heading: ClassVar = "Limits and timeouts"

    limit_concurrency: int | None = setting(
        None, "Requests in flight at once; beyond it 503 is answered.", check=at_least(1), shown_default="no limit"
    )
    limit_max_requests: int | None = setting(
        None,
        "Replace a worker after this many requests; without workers: stop.",
        check=at_least(1),
        shown_default="no limit",
    )
    limit_max_requests_jitter: int = setting(
        0, "Add a random number up to this to --limit-max-requests.", check=at_least(0)
    )
    limit_max_memory: int | None = setting(
        None,
        "Replace a worker that uses more memory than this; without workers: stop.",
        check=at_least(1),
        metavar="BYTES",
        shown_default="no limit",
    )
    limit_request_header_size: int = setting(
        65536, "Largest head of a request; beyond it 431 or 414 is answered.", check=at_least(64), metavar="BYTES"
    )
    limit_request_header_fields: int = setting(
        100, "Most header fields in a request; beyond it 431 is answered.", check=at_least(1)
    )
    limit_request_body: int | None = setting(
        None,
        "Largest body of a request; beyond it 413 is answered.",
        check=at_least(1),
        metavar="BYTES",
        shown_default="no limit",
    )
    h11_max_incomplete_event_size: int | None = setting(
        None,
        "Largest head of a request with --http h11, where that is less.",
        check=at_least(64),
        metavar="BYTES",
        shown_default="--limit-request-header-size",
    )
    timeout_keep_alive: float = setting(
        5, "Close a connection that has been idle for this long.", check=between(0, LONGEST_TIMEOUT)
    )
    timeout_request_header: float = setting(
        30, "Answer 408 when the head of a request takes longer than this.", check=between(0.1, LONGEST_TIMEOUT)
    )
    timeout_request_body: float | None = setting(
        None,
        "Answer 408 when nothing of a request's body comes for this long.",
        check=between(0.1, LONGEST_TIMEOUT),
        shown_default="no limit",
    )
    timeout_request: float | None = setting(
        None,
        "Answer 504 when the application takes longer than this.",
        check=between(0.001, LONGEST_TIMEOUT),
        shown_default="no limit",
    )
    timeout_graceful_shutdown: float | None = setting(
        20,
        "Cut off requests, and lifespan shutdown, that still run this long after the signal to stop.",
        check=between(0, LONGEST_TIMEOUT),
    )
