"""What the HTTP/2 connections of one loop have in common.

Belongs to the loop's thread. It owns the fields that responses repeat; connections have their own state from it.
"""

from threadserve.config import Config
from threadserve.http.context import LoopContext
from threadserve.http.head import RequestHead
from threadserve.http2.budgets import Budget
from threadserve.http2.field_blocks import FieldBlock
from threadserve.http2.frames import FrameReader
from threadserve.http2.requests import read_request
from threadserve.http2.responses import FieldMaker
from threadserve.http2.state import H2State
from threadserve.http2.stream import H2Stream


class HTTP2:
    """Makes the parts of connections, as the configuration has them."""

    __slots__ = ("_context", "_field_limit", "_head_limit", "maker")

    def __init__(self, config: Config, context: LoopContext) -> None:
        self._context = context
        self._head_limit = config.limit_request_header_size
        self._field_limit = config.limit_request_header_fields
        self.maker = FieldMaker(config)

    def state(self) -> H2State:
        """The library's state of one connection."""
        context = self._context
        return H2State(context.bounds, self._head_limit, websockets=context.begin_websocket is not None)

    def budget(self, limit: int, what: str) -> Budget:
        """A budget for one connection."""
        return Budget(limit, self._context.bounds.budget_seconds, what, self._context.deadlines)

    def reader(self, open_streams: dict[int, H2Stream], control: Budget, resets: Budget) -> FrameReader:
        """A reader for one connection, whose open streams are those."""
        return FrameReader(self._head_limit, open_streams, control, resets)

    def read_head(self, block: FieldBlock, has_body: bool) -> RequestHead:
        """The request's head that a block is. Raises as `read_request` does."""
        if has_body:
            return read_request(block.fields, True, self._field_limit, self._head_limit)
        head = block.head
        if head is None:
            block.head = head = read_request(block.fields, False, self._field_limit, self._head_limit)
        # The application may do with its headers what it likes.
        return RequestHead(
            head.method, head.target, head.headers.copy(), head.control_fields, head.version, head.framing
        )
