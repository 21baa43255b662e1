"""What the access log is told of a request: a few facts for the usual line, all of them for a format.

Called on the loop's thread, when the request is at its end; keeps nothing.
"""

from time import time
from typing import Any

from threadserve.http.fields import field_values
from threadserve.http.peer import Peer, format_client
from threadserve.http.scope import format_target
from threadserve.logging.access_format import AccessFacts, AccessFormat
from threadserve.logging.access_log import Entry
from threadserve.proxies.request_start import REQUEST_START_FIELD, read_queue_time
from threadserve.types import Headers


def make_entry(scope: dict[str, Any], peer: Peer, status: int) -> Entry:
    """For the usual line."""
    label = peer.label if scope["client"] is peer.client else format_client(scope["client"])
    return label, scope["method"], format_target(scope), scope["http_version"], status


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
    """For a line by a format, of a request that has taken the first of the `times` on a loop's `thread`.

    The others are how long it was until the first byte of its response, and for how long it had waited in proxies.
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
    """For how long a request had waited when its head was here, so many seconds ago, by what a proxy says of it."""
    for name, value in headers:
        if name == REQUEST_START_FIELD:
            return read_queue_time(value, time() - seconds)
    return None
