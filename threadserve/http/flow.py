"""How much may be under way between a connection and its client, in either direction.

Runs on the connection's loop thread. It owns what a connection notes about its transport's state, and never looks at
the bytes.
"""

import asyncio
from math import inf


class FlowControl:
    """Pauses and resumes a transport, and lets writers wait for the client.

    `write_paused` says that the client takes less than is written. `transport` is set when the connection is open.
    """

    __slots__ = ("_drained", "_is_given_up", "_untaken", "reading_paused", "transport", "write_paused")

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.write_paused = False
        self.reading_paused = False
        self._untaken: float = inf
        self._drained: asyncio.Event | None = None
        self._is_given_up = False

    def on_writable(self) -> None:
        """The client has taken enough."""
        self.write_paused = False
        if self._drained is not None:
            self._drained.set()

    def release_writers(self) -> None:
        """Nothing more is written: nobody has to wait for the client."""
        self._is_given_up = True
        if self._drained is not None:
            self._drained.set()

    async def drain(self) -> None:
        """Returns when the client has taken enough of what is queued, or is gone."""
        while self.write_paused and not self._is_given_up:
            if self._drained is None:
                self._drained = asyncio.Event()
            self._drained.clear()
            await self._drained.wait()

    def watch_progress(self) -> None:
        """From now on it is watched whether the client takes what is queued."""
        self._untaken = self.transport.get_write_buffer_size()

    def has_progressed(self) -> bool:
        """Whether the client has taken some of what is queued since this, or `watch_progress`, was called last."""
        before, self._untaken = self._untaken, self.transport.get_write_buffer_size()
        return self._untaken < before

    def forget_progress(self) -> None:
        """The client has taken it: what it takes next is looked at afresh."""
        self._untaken = inf

    def pause_reading(self) -> None:
        """Leaves further bytes of the client in the kernel."""
        if not self.reading_paused and not self.transport.is_closing():
            self.reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Reads on."""
        if self.reading_paused and not self.transport.is_closing():
            self.reading_paused = False
            self.transport.resume_reading()
