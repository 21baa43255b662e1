"""The body of one request, from the client to the application.

Belongs to its exchange, on the connection's loop thread. It owns what has arrived and has not been asked for; it never
parses, and never waits.
"""


class RequestBody:
    """The part of a body that has arrived and waits for the application: `size` bytes.

    With `is_complete`, nothing more will come. With `awaits_continue`, the client sends none of it before it gets a
    100. `received_bytes` have come for the application, `discarded_bytes` after the response was complete.
    """

    __slots__ = ("_limit", "_parts", "awaits_continue", "discarded_bytes", "is_complete", "received_bytes", "size")

    def __init__(self, limit: int, awaits_continue: bool) -> None:
        self._limit = limit
        self.awaits_continue = awaits_continue
        self.discarded_bytes = 0
        self.received_bytes = 0
        self._parts: list[bytes] = []
        self.is_complete = False
        self.size = 0

    def has_room(self) -> bool:
        """Return whether more may come before the application takes what is there."""
        return self.size <= self._limit

    def put(self, data: bytes, more: bool) -> None:
        """Add the next part; with `more`, others follow."""
        self.is_complete = not more
        if data:
            self._parts.append(data)
            self.size += len(data)
            self.received_bytes += len(data)

    def take(self) -> bytes:
        """Remove and return everything. A single part is not copied."""
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.size = 0
        return data
