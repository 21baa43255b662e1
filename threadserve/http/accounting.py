"""The record of a request that has ended: the metrics' counts, and the access log's line.

Called on the loop's thread; keeps nothing.
"""

from time import perf_counter, time

from threadserve.http.fields import field_values
from threadserve.http.head import RequestHead
from threadserve.http.peer import Peer, format_client
from threadserve.http.scope import format_request_target
from threadserve.logging.access_format import AccessFacts, AccessFormat
from threadserve.logging.access_log import Entry
from threadserve.metrics.loop_metrics import LoopMetrics
from threadserve.proxies.request_start import REQUEST_START_FIELD, read_queue_time
from threadserve.types import ConnectionScope, Headers


def make_entry(scope: ConnectionScope, peer: Peer, status: int) -> Entry:
    """Return the facts of a usual line."""
    label = peer.label if scope["client"] is peer.client else format_client(scope["client"])
    return label, scope["method"], format_request_target(scope), scope["http_version"], status


def make_facts(
    head: RequestHead,
    scope: ConnectionScope,
    peer: Peer,
    status: int,
    bytes_sent: int,
    times: tuple[float, float],
    thread: int,
    format: AccessFormat,
    response_fields: Headers,
    environ: tuple[bytes | None, ...],
) -> AccessFacts:
    """Return the facts of a line by a configured format, of a request on the loop with the number `thread`.

    `times` are when the request's head came and when the first byte of its response left, by `perf_counter`; the latter
    is 0 for a response that left in one part.
    """
    started_at, first_byte_at = times
    seconds = perf_counter() - started_at
    client = scope["client"]
    return AccessFacts(
        format_client(client),
        client[0] if client else "",
        scope["method"],
        scope["raw_path"],
        scope["query_string"],
        scope["http_version"],
        scope["scheme"],
        status,
        bytes_sent,
        seconds,
        time(),
        field_values(format.request_names, scope["headers"]),
        field_values(format.response_names, response_fields),
        environ,
        first_byte_at - started_at if first_byte_at else seconds,
        queue_seconds(head.headers, seconds) if format.wants_queue_time and peer.is_trusted else None,
        thread,
    )


def count_response(
    metrics: LoopMetrics,
    head: RequestHead,
    scope: ConnectionScope,
    peer: Peer,
    status: int,
    started_at: float,
    first_byte_at: float,
) -> None:
    """Count a response that has ended, and note it if it was slow. The times are those of `make_facts`."""
    now = perf_counter()
    seconds = now - started_at
    first_byte = (first_byte_at or now) - started_at
    metrics.on_response(status, seconds, first_byte)
    if peer.is_trusted:
        queued = queue_seconds(head.headers, seconds)
        if queued is not None:
            metrics.queue_time.add(queued)
    if seconds >= metrics.slow_seconds:
        metrics.on_slow(f"{head.method} {format_request_target(scope)}", head.version, status, seconds, first_byte)


def queue_seconds(headers: Headers, seconds: float) -> float | None:
    """Return how many seconds a request had waited before its head arrived, `seconds` ago; None if no proxy says so."""
    for name, value in headers:
        if name == REQUEST_START_FIELD:
            return read_queue_time(value, time() - seconds)
    return None
