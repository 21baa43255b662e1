"""How much may be under way between a connection and its client, in either direction.

Runs on the connection's loop thread. It owns what a connection notes about its transport's state, and never looks at
the bytes.
"""

import asyncio
from math import inf


class FlowControl:
    """Pauses and resumes a transport, and lets writers wait for the client: a base for protocols.

    `write_paused` says that the client takes less than is written; `transport` is set by the protocol.
    """

    __slots__ = ("_drained", "_reading_paused", "_unwritten", "transport", "write_paused")

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.write_paused = False
        self._reading_paused = False
        self._unwritten: float = inf
        self._drained: asyncio.Event | None = None

    def pause_writing(self) -> None:
        """The client takes less than is written."""
        self.write_paused = True

    def resume_writing(self) -> None:
        """The client has taken enough."""
        self.write_paused = False
        if self._drained is not None:
            self._drained.set()

    async def drained(self) -> None:
        """Returns when the client has taken enough of what is queued, or is gone."""
        while self.write_paused:
            if self._drained is None:
                self._drained = asyncio.Event()
            self._drained.clear()
            await self._drained.wait()

    def takes_more(self) -> bool:
        """Whether the client has taken some of what is queued since this was asked, or `_unwritten` set, last."""
        before, self._unwritten = self._unwritten, self.transport.get_write_buffer_size()
        return self._unwritten < before

    def pause_reading(self) -> None:
        """Leaves further bytes of the client in the kernel."""
        if not self._reading_paused and not self.transport.is_closing():
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Reads on."""
        if self._reading_paused and not self.transport.is_closing():
            self._reading_paused = False
            self.transport.resume_reading()
