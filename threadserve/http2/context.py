"""The parts that the HTTP/2 connections of one loop share.

Belongs to the loop's thread. It owns the cache of response fields; each connection owns its own state.
"""

from threadserve.config import Config
from threadserve.http.head import RequestHead
from threadserve.http2.field_blocks import FieldBlock
from threadserve.http2.requests import parse_request
from threadserve.http2.responses import FieldFormatter


class HTTP2Context:
    """The limits of a request's head, and the formatter of response fields."""

    __slots__ = ("_field_limit", "formatter", "head_limit")

    def __init__(self, config: Config) -> None:
        self.head_limit = config.limit_request_header_size
        self._field_limit = config.limit_request_header_fields
        self.formatter = FieldFormatter(config)

    def read_head(self, block: FieldBlock, has_body: bool) -> RequestHead:
        """Return the request head in a field block. Raises the errors of `parse_request`."""
        if has_body:
            return parse_request(block.fields, True, self._field_limit, self.head_limit)
        head = block.head
        if head is None:
            block.head = head = parse_request(block.fields, False, self._field_limit, self.head_limit)
        # A copy of the headers, which the application may change.
        return RequestHead(
            head.method, head.target, head.headers.copy(), head.control_fields, head.version, head.framing
        )
