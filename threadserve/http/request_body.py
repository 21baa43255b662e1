"""The body of one request, on its way from the client to the application.

Belongs to its exchange, on the connection's loop thread. It owns what has arrived and has not been asked for; it never
parses, and never waits.
"""


class RequestBody:
    """What has arrived of a body. `is_complete` says that nothing more will come, `size` how many bytes wait.

    `awaits_continue` says that the client sends none of it before it gets a 100, `received` how many bytes have come in
    all, and `discarded` how many came when the response was complete already.
    """

    __slots__ = ("_limit", "_parts", "awaits_continue", "discarded", "is_complete", "received", "size")

    def __init__(self, limit: int, awaits_continue: bool) -> None:
        self._limit = limit
        self.awaits_continue = awaits_continue
        self.discarded = 0
        self.received = 0
        self._parts: list[bytes] = []
        self.is_complete = False
        self.size = 0

    def has_room(self) -> bool:
        """Whether more may come before what is there has been taken."""
        return self.size <= self._limit

    def put(self, data: bytes, more: bool) -> None:
        """Takes the next part; with `more`, others follow."""
        self.is_complete = not more
        if data:
            self._parts.append(data)
            self.size += len(data)
            self.received += len(data)

    def take(self) -> bytes:
        """Returns all that is there. A single part is not copied."""
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.size = 0
        return data
