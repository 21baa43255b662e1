"""What the access log is told of a request: a few facts for the usual line, all of them for a format.

Called on the loop's thread, when the request is at its end; keeps nothing.
"""

from time import perf_counter, time
from typing import Any

from threadserve.http.fields import values_of
from threadserve.http.peer import Peer, label_of
from threadserve.http.scope import target_of
from threadserve.logging.access_format import AccessFacts, AccessFormat
from threadserve.logging.access_log import Entry
from threadserve.types import Headers


def entry_of(scope: dict[str, Any], peer: Peer, status: int) -> Entry:
    """For the usual line."""
    label = peer.label if scope["client"] is peer.client else label_of(scope["client"])
    return label, scope["method"], target_of(scope), scope["http_version"], status


def facts_of(
    scope: dict[str, Any],
    status: int,
    bytes_sent: int,
    began: float,
    format: AccessFormat,
    response_fields: Headers,
    environ: tuple[bytes | None, ...],
) -> AccessFacts:
    """For a line by a format, of a request that `began` at this time of `perf_counter`."""
    client = scope["client"]
    return AccessFacts(
        label_of(client),
        client[0] if client else "",
        scope["method"],
        scope["raw_path"],
        scope["query_string"],
        scope["http_version"],
        scope["scheme"],
        status,
        bytes_sent,
        perf_counter() - began,
        time(),
        values_of(format.request_names, scope["headers"]),
        values_of(format.response_names, response_fields),
        environ,
    )
