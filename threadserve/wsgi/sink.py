"""The receiver of a call's response, and the channel of calls that stream.

A `ResponseSink` belongs to the loop and runs on its thread, except for methods named `*_threadsafe`. A `Channel`
connects a pool thread with the loop: the pool thread calls the methods named `*_threadsafe` and waits in them for the
client; the loop thread runs `serve`. The channel's lock guards the data between them and is held for a few lines. The
loop is woken once for all that gathers meanwhile.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from threadserve.errors import ClientDisconnected, MailboxClosed
from threadserve.http.cross_thread import loop_ended_error
from threadserve.http.head import ResponseHead
from threadserve.types import Message
from threadserve.wsgi.file_wrapper import OpenFile

HIGH_WATER_BYTES = 262144
# The time that a call waits for its client to send more of its body, or to take enough of the response.
CLIENT_TIMEOUT_SECONDS = 120.0

EnvironValues = tuple[bytes | None, ...]


class Wakeable(Protocol):
    """A loop that may be idle."""

    def wake_threadsafe(self) -> None:
        """Deliver the completed calls soon, on the loop. Raises the errors of posting to it."""
        ...


class CompletedCall(Protocol):
    """A call with its whole response."""

    def deliver(self) -> None:
        """Send the response by the sink's `respond`."""
        ...


class ResponseSink:
    """Receives the response of one call, whole or as a stream.

    `post` schedules a function on the loop, in order. `environ_names` are the environ variables for the access log;
    their values come with the head. `can_send_files` says whether `send_file` may be called, and `adds_root_path`
    whether the path of the call's scope is the root path followed by the request's target, whatever that begins with.
    """

    __slots__ = ("adds_root_path", "can_send_files", "environ_names", "post")

    adds_root_path: bool
    post: Callable[..., object]
    environ_names: Sequence[str]
    can_send_files: bool

    # From the pool thread.

    def complete_threadsafe(self, response: CompletedCall) -> Wakeable | None:
        """Queue a whole response for delivery; return the object that the caller must wake soon for it, if any.

        Raises `ClientDisconnected` when the loop has ended.
        """
        self.post_threadsafe(response.deliver)
        return None

    def post_threadsafe(self, call: Callable[..., object], *args: object) -> None:
        """Schedule a function on the loop. Raises `ClientDisconnected` when the loop has ended."""
        try:
            self.post(call, *args)
        except (MailboxClosed, RuntimeError):
            raise loop_ended_error() from None

    # On the loop's thread.

    def respond(self, head: ResponseHead, body: bytes, environ: EnvironValues) -> None:
        """Send a whole response."""
        raise NotImplementedError

    def open_channel(self, channel: "Channel") -> None:
        """Serve a channel over which the call streams."""
        raise NotImplementedError

    def send_file(self, head: ResponseHead, file: OpenFile, environ: EnvironValues) -> None:
        """Send a response whose body is a file, and close the file."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Answer 504 in place of a call that has timed out, if nothing has been sent."""
        raise NotImplementedError

    # Called by a channel.

    async def receive(self) -> Message:
        """Return the next message of the request, as in ASGI: a part of its body, or its client's disconnect."""
        raise NotImplementedError

    async def start(self, head: ResponseHead, environ: EnvironValues) -> None:
        """Start a response, whose body follows."""
        raise NotImplementedError

    async def send(self, body: bytes, more: bool) -> None:
        """Send a part of the body, and return when the client has room for more."""
        raise NotImplementedError


class Channel:
    """The connection between a call and its client.

    `post` schedules a function on the loop; `expects_body` says that more of the request's body is to come.
    """

    def __init__(self, post: Callable[..., object], *, expects_body: bool) -> None:
        self._post = post
        self._channel_lock = threading.Lock()
        self._changed = threading.Condition(self._channel_lock)
        self._head: tuple[ResponseHead, EnvironValues] | None = None
        self._pieces: list[bytes | memoryview] = []
        self._unsent = 0
        self._has_ended = False
        self._has_failed = False
        self._is_body_wanted = False
        self._body: bytes | None = None
        self._expects_body = expects_body
        self._is_disconnected = False
        # For the loop thread alone.
        self._work_ready = asyncio.Event()
        self._is_started = False
        self._is_complete = False
        self._replacement: tuple[ResponseHead, bytes] | None = None

    # From the pool thread.

    def start_threadsafe(self, head: ResponseHead, environ: EnvironValues) -> None:
        """Start the response; its head is sent with the next piece."""
        with self._changed:
            self._head = head, environ

    def write_threadsafe(self, data: bytes) -> None:
        """Send a piece of the body, and return when the client has taken most of what was sent before.

        Raises `ClientDisconnected` when it has gone.
        """
        if len(data) <= HIGH_WATER_BYTES:
            self._write(data)
            return
        view = memoryview(data)
        for at in range(0, len(view), HIGH_WATER_BYTES):
            self._write(view[at : at + HIGH_WATER_BYTES])

    def end_threadsafe(self, *, failed: bool = False) -> None:
        """End the response; with `failed` it is left incomplete."""
        with self._changed:
            self._has_ended = True
            self._has_failed = failed
            self._notify_loop()

    def read_threadsafe(self) -> bytes:
        """Wait for the next part of the request's body and return it, b"" at the end.

        Raises `ClientDisconnected` when the client goes before that.
        """
        with self._changed:
            if not self._expects_body:
                return b""
            self._body = None
            self._is_body_wanted = True
            self._notify_loop()
            self._changed.wait_for(lambda: self._body is not None or self._is_disconnected)
            if self._body is None:
                raise ClientDisconnected("the client has disconnected")
            return self._body

    def check_connected_threadsafe(self) -> None:
        """Raise `ClientDisconnected` if the client has gone."""
        with self._changed:
            self._check_connected()

    def _check_connected(self) -> None:
        if self._is_disconnected:
            raise ClientDisconnected("the client has disconnected")

    def _write(self, data: bytes | memoryview) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._unsent < HIGH_WATER_BYTES or self._is_disconnected)
            self._check_connected()
            is_first = not self._pieces
            self._pieces.append(data)
            self._unsent += len(data)
            if is_first:
                self._notify_loop()

    def _notify_loop(self) -> None:
        try:
            self._post(self._work_ready.set)
        except (MailboxClosed, RuntimeError):
            # The loop is closed, and the client's connection with it.
            self._is_disconnected = True

    # On the loop's thread.

    async def serve(self, sink: ResponseSink, *, watches_disconnect: bool) -> bool:
        """Serve the call to its end; return whether the response is complete.

        `watches_disconnect` is for servers whose `send` does not tell that the client has gone: `receive` is awaited
        for it while the response streams. Raises the errors of the sink's `receive` and `send`.
        """
        watcher: asyncio.Task[None] | None = None
        try:
            while await self._serve_next(sink):
                if watches_disconnect and watcher is None and self._is_started and not self._expects_body:
                    watcher = asyncio.create_task(self._watch_disconnect(sink))
        finally:
            self.disconnect()
            if watcher is not None:
                watcher.cancel()
        return self._is_complete

    def replace_response(self, head: ResponseHead, body: bytes) -> None:
        """Abandon the call, and send this response if nothing has been sent."""
        self._replacement = head, body
        self.disconnect()

    def on_client_gone(self) -> None:
        """Disconnect the call, unless it may still read what arrived of the request's body."""
        if not self._expects_body:
            self.disconnect()

    def disconnect(self) -> None:
        """Send nothing more. The call learns that the client has gone at its next read or write."""
        with self._changed:
            self._is_disconnected = True
            self._pieces.clear()
            self._changed.notify_all()
        self._work_ready.set()

    async def _serve_next(self, sink: ResponseSink) -> bool:
        """Wait for the call and serve what it asks for; return whether there may be more."""
        await self._work_ready.wait()
        self._work_ready.clear()
        with self._changed:
            head, self._head = self._head, None
            pieces, self._pieces = self._pieces, []
            wants_body, self._is_body_wanted = self._is_body_wanted, False
            ended = self._has_ended
        if self._is_disconnected:
            if self._replacement is not None and not self._is_started:
                instead, text = self._replacement
                await self._send(sink, (instead, ()), [text], more=False)
            return False
        more = not ended or self._has_failed
        try:
            # A call that has ended does not wait.
            async with asyncio.timeout(None if ended else CLIENT_TIMEOUT_SECONDS):
                if pieces or head is not None or not more:
                    await self._send(sink, head, pieces, more=more)
                    self._release_bytes(sum(map(len, pieces)))
                if wants_body:
                    await self._receive_body(sink)
        except TimeoutError:
            raise ClientDisconnected(
                f"the client has kept the call waiting for {CLIENT_TIMEOUT_SECONDS:g} seconds"
            ) from None
        return not ended

    async def _send(
        self,
        sink: ResponseSink,
        head: tuple[ResponseHead, EnvironValues] | None,
        pieces: Sequence[bytes | memoryview],
        *,
        more: bool,
    ) -> None:
        if head is not None:
            self._is_started = True
            await sink.start(*head)
            # A streamed body is framed as one, even if all of it has gathered before the head was sent.
            if pieces:
                await sink.send(b"".join(pieces), True)
                pieces = ()
        if pieces or not more:
            await sink.send(b"".join(pieces), more)
        self._is_complete = not more

    def _release_bytes(self, size: int) -> None:
        with self._changed:
            self._unsent -= size
            self._changed.notify_all()

    async def _receive_body(self, sink: ResponseSink) -> None:
        message = await sink.receive()
        if message["type"] == "http.disconnect":
            self.disconnect()
            return
        with self._changed:
            self._body = message.get("body", b"")
            self._expects_body = message.get("more_body", False)
            self._changed.notify_all()

    async def _watch_disconnect(self, sink: ResponseSink) -> None:
        while (await sink.receive())["type"] != "http.disconnect":
            pass
        self.disconnect()
