"""The access log's record of a request: a few facts for the usual line, all of them for a configured format.

Called on the loop's thread when the request is at its end; keeps nothing.
"""

from time import time
from typing import Any

from threadserve.http.fields import field_values
from threadserve.http.peer import Peer, format_client
from threadserve.http.scope import format_request_target
from threadserve.logging.access_format import AccessFacts, AccessFormat
from threadserve.logging.access_log import Entry
from threadserve.proxies.request_start import REQUEST_START_FIELD, read_queue_time
from threadserve.types import Headers


def make_entry(scope: dict[str, Any], peer: Peer, status: int) -> Entry:
    """Return the facts of a usual line."""
    label = peer.label if scope["client"] is peer.client else format_client(scope["client"])
    return label, scope["method"], format_request_target(scope), scope["http_version"], status


def make_facts(
    scope: dict[str, Any],
    status: int,
    bytes_sent: int,
    times: tuple[float, float, float | None],
    thread: int,
    format: AccessFormat,
    response_fields: Headers,
    environ: tuple[bytes | None, ...],
) -> AccessFacts:
    """Return the facts of a line by a configured format, of a request on the loop with the number `thread`.

    `times` are in seconds: how long the request took, how long it was until the first byte of its response, and how
    long it had waited in proxies, if that is known.
    """
    client = scope["client"]
    seconds, first_byte, queued = times
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
        first_byte,
        queued,
        thread,
    )


def queue_seconds(headers: Headers, seconds: float) -> float | None:
    """Return how many seconds a request had waited before its head arrived, `seconds` ago; None if no proxy says so."""
    for name, value in headers:
        if name == REQUEST_START_FIELD:
            return read_queue_time(value, time() - seconds)
    return None
