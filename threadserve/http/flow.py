"""Flow control between a connection and its client, in either direction.

Runs on the connection's loop thread. It owns the state of the transport's buffers as the connection knows it, and never
looks at the bytes.
"""

import asyncio
from math import inf


class FlowControl:
    """Pauses and resumes a transport, and lets writers wait for the client. Belongs to the connection's loop thread.

    `write_paused` is true while the client takes less than is written. `transport` is set when the connection opens.
    """

    __slots__ = ("_drained", "_is_released", "_unwritten_bytes", "reading_paused", "transport", "write_paused")

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.write_paused = False
        self.reading_paused = False
        self._unwritten_bytes: float = inf
        self._drained: asyncio.Event | None = None
        self._is_released = False

    def on_writable(self) -> None:
        """Wake the writer that waits: the client has taken enough to be sent more."""
        self.write_paused = False
        if self._drained is not None:
            self._drained.set()

    def release_writers(self) -> None:
        """Wake the writer that waits, for good, because nothing more is written."""
        self._is_released = True
        if self._drained is not None:
            self._drained.set()

    async def drain(self) -> None:
        """Wait until the client has taken enough of what is queued, or has gone."""
        while self.write_paused and not self._is_released:
            if self._drained is None:
                self._drained = asyncio.Event()
            self._drained.clear()
            await self._drained.wait()

    def watch_progress(self) -> None:
        """Begin to watch whether the client takes what is queued."""
        self._unwritten_bytes = self.transport.get_write_buffer_size()

    def has_progressed(self) -> bool:
        """Return whether the client has taken bytes since this, or `watch_progress`, was called last."""
        before, self._unwritten_bytes = self._unwritten_bytes, self.transport.get_write_buffer_size()
        return self._unwritten_bytes < before

    def forget_progress(self) -> None:
        """Start over, because the client has taken everything."""
        self._unwritten_bytes = inf

    def pause_reading(self) -> None:
        """Leave further bytes of the client in the kernel."""
        if not self.reading_paused and not self.transport.is_closing():
            self.reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read from the client again."""
        if self.reading_paused and not self.transport.is_closing():
            self.reading_paused = False
            self.transport.resume_reading()
