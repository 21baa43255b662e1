"""An exchange that keeps what an access-log format of the user's may tell of it.

Belongs to its connection, on the connection's loop thread. Only the connections of a loop whose access log has a format
make these: what is counted and timed here would cost every other request for nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from time import perf_counter, time
from typing import Any

from threadserve.http.exchange import Exchange
from threadserve.http.loop_state import LoopState
from threadserve.http.outlet import Outlet
from threadserve.http.peer import Peer, label_of
from threadserve.http.refusal import CRLF
from threadserve.http.rules import MessageRules
from threadserve.logging.access_format import AccessFacts, AccessFormat
from threadserve.types import Message

END_OF_HEAD = CRLF + CRLF

MakeExchange = Callable[[Outlet, LoopState, dict[str, Any], MessageRules], Exchange]


class LoggedExchange(Exchange):
    """A request in flight whose response is timed and measured."""

    _sent = 0
    _environ: tuple[bytes | None, ...] = ()

    def __init__(
        self, outlet: Outlet, state: LoopState, scope: dict[str, Any], rules: MessageRules, format: AccessFormat
    ) -> None:
        super().__init__(outlet, state, scope, rules)
        self._format = format
        self._began = perf_counter()

    def access_entry(self, peer: Peer) -> AccessFacts:
        """What the access log tells of this request, now that its response is at its end."""
        scope = self.scope
        client = scope["client"]
        return AccessFacts(
            label_of(client),
            client[0] if client else "",
            scope["method"],
            scope["raw_path"],
            scope["query_string"],
            scope["http_version"],
            scope["scheme"],
            self.status,
            self._sent,
            perf_counter() - self._began,
            time(),
            values_of(self._format.request_names, scope["headers"]),
            self._response_fields(),
            self._environ,
        )

    def _response_fields(self) -> tuple[bytes | None, ...]:
        """The values that the format wants of the fields in the head as it was sent, ours included."""
        names = self._format.response_names
        if not names:
            return ()
        head = b""
        for line in self._lines:
            head += line
            if line == CRLF or line.endswith(END_OF_HEAD):
                break
        fields = [line.partition(b":") for line in head.split(CRLF)]
        return values_of(names, [(name.lower(), value.strip()) for name, _, value in fields])

    def _start(self, message: Message) -> None:
        self._sent = 0
        super()._start(message)

    def _send_whole(self, body: bytes) -> None:
        self._sent = len(body)
        super()._send_whole(body)

    def _send_part(self, body: bytes, *, more: bool) -> None:
        if not self._bodyless:
            self._sent += len(body)
        super()._send_part(body, more=more)

    def _begin_file(self, size: int) -> None:
        if not self._bodyless:
            self._sent = size
        super()._begin_file(size)


def exchange_maker(
    state: LoopState, plain: type[Exchange] = Exchange, logged: type[LoggedExchange] = LoggedExchange
) -> MakeExchange:
    """What makes the exchanges of a loop's connections: where the access log has no format they gather nothing."""
    format = state.access_log.format if state.access_log is not None else None
    return plain if format is None else partial(logged, format=format)


def values_of(names: Sequence[bytes], headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes | None, ...]:
    """The values of header fields by these names, which are in lower case there too; None for one that is not there.

    The values of a field that came several times are joined (RFC 9110 section 5.3).
    """
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in names:
            found[name] = b"%b, %b" % (found[name], value) if name in found else value
    return tuple([found.get(name) for name in names])
