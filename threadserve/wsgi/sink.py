"""Where the response of a call goes, and how a call that has more to say than that talks with its request's loop.

A `ResponseSink` belongs to the loop and runs on its thread, but for what is named `*_threadsafe`. A `Channel` is
between the two: the pool thread calls what is named `*_threadsafe`, and waits there for the client; the loop thread
runs `serve`. What passes is guarded by the channel's own lock, which is held for a few lines. The loop is woken once
for all that has gathered meanwhile.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from threadserve.errors import ClientDisconnected, MailboxClosed
from threadserve.http.cross_thread import loop_ended_error
from threadserve.http.head import ResponseHead
from threadserve.types import Message
from threadserve.wsgi.file_wrapper import OpenFile

HIGH_WATER = 262144
# For how many seconds a call waits for its client to send more of its body, or to take what fits under the mark.
PATIENCE = 120.0

Environ = tuple[bytes | None, ...]


class Sleeper(Protocol):
    """A loop that may be asleep."""

    def wake_threadsafe(self) -> None:
        """Has it take the responses there are. Raises what posting to it raises."""
        ...


class Response(Protocol):
    """A whole response, on its way to a sink."""

    def deliver(self) -> None:
        """Calls the sink's `respond`."""
        ...


class ResponseSink:
    """Takes the response of one call, whole or in pieces.

    `post` has a call made on the loop, in order. `environ_names` are variables that the access log wants of the call's
    environ; their values come with the head. `sends_files` says whether `send_file` may be called, and `adds_root_path`
    whether the path of the call's scope is the root path followed by the request's target, whatever that begins with.
    """

    __slots__ = ("adds_root_path", "environ_names", "post", "sends_files")

    adds_root_path: bool
    post: Callable[..., object]
    environ_names: Sequence[str]
    sends_files: bool

    # From the pool thread.

    def respond_threadsafe(self, response: Response) -> Sleeper | None:
        """Has a whole response delivered; returns whom the caller must wake for it before long, if anyone.

        Raises `ClientDisconnected` where the loop has ended.
        """
        self.post_threadsafe(response.deliver)
        return None

    def post_threadsafe(self, call: Callable[..., object], *args: Any) -> None:
        """Has the loop make a call. Raises `ClientDisconnected` where it has ended."""
        try:
            self.post(call, *args)
        except (MailboxClosed, RuntimeError):
            raise loop_ended_error() from None

    # On the loop's thread.

    def respond(self, head: ResponseHead, body: bytes, environ: Environ) -> None:
        """The whole response."""
        raise NotImplementedError

    def open(self, channel: "Channel") -> None:
        """The call goes on over this channel."""
        raise NotImplementedError

    def send_file(self, head: ResponseHead, file: OpenFile, environ: Environ) -> None:
        """A response whose body is a file, to be closed then."""
        raise NotImplementedError

    def give_up(self) -> None:
        """The call does not come back: 504 is the answer where there is none yet."""
        raise NotImplementedError

    # Called by a channel.

    async def receive(self) -> Message:
        """The next of the request's body, or its client's leaving, as in ASGI."""
        raise NotImplementedError

    async def start(self, head: ResponseHead, environ: Environ) -> None:
        """Begins a response, whose body follows."""
        raise NotImplementedError

    async def send(self, body: bytes, more: bool) -> None:
        """Sends a part of the body, and returns when the client has room for more."""
        raise NotImplementedError


class Channel:
    """The way between a call and its client.

    `post` has a call made on the loop; `body_follows` says that more of the request's body is to come.
    """

    def __init__(self, post: Callable[..., object], *, body_follows: bool) -> None:
        self._post = post
        self._channel_lock = threading.Lock()
        self._turn = threading.Condition(self._channel_lock)
        self._head: tuple[ResponseHead, Environ] | None = None
        self._pieces: list[bytes | memoryview] = []
        self._unsent = 0
        self._ended = False
        self._failed = False
        self._wants_body = False
        self._body: bytes | None = None
        self._body_follows = body_follows
        self._gone = False
        # Of the loop thread.
        self._called = asyncio.Event()
        self._is_begun = False
        self._is_complete = False
        self._answer_instead: tuple[ResponseHead, bytes] | None = None

    # From the pool thread.

    def start_threadsafe(self, head: ResponseHead, environ: Environ) -> None:
        """Begins the response; the head goes out with what comes next."""
        with self._turn:
            self._head = head, environ

    def write_threadsafe(self, data: bytes) -> None:
        """Sends a piece of the body, and returns when the client has taken most of what was sent before.

        Raises `ClientDisconnected` when it has gone.
        """
        if len(data) <= HIGH_WATER:
            self._write(data)
            return
        view = memoryview(data)
        for at in range(0, len(view), HIGH_WATER):
            self._write(view[at : at + HIGH_WATER])

    def end_threadsafe(self, *, failed: bool = False) -> None:
        """The call has nothing more to send; with `failed` its response cannot be completed."""
        with self._turn:
            self._ended = True
            self._failed = failed
            self._call_loop()

    def read_threadsafe(self) -> bytes:
        """Waits for the next part of the request's body and returns it, b"" at the end.

        Raises `ClientDisconnected` when the client goes before that.
        """
        with self._turn:
            if not self._body_follows:
                return b""
            self._body = None
            self._wants_body = True
            self._call_loop()
            self._turn.wait_for(lambda: self._body is not None or self._gone)
            if self._body is None:
                raise ClientDisconnected("the client has disconnected")
            return self._body

    def check_threadsafe(self) -> None:
        """Raises `ClientDisconnected` when the client has gone."""
        with self._turn:
            self._check()

    def _check(self) -> None:
        if self._gone:
            raise ClientDisconnected("the client has disconnected")

    def _write(self, data: bytes | memoryview) -> None:
        with self._turn:
            self._turn.wait_for(lambda: self._unsent < HIGH_WATER or self._gone)
            self._check()
            is_first = not self._pieces
            self._pieces.append(data)
            self._unsent += len(data)
            if is_first:
                self._call_loop()

    def _call_loop(self) -> None:
        try:
            self._post(self._called.set)
        except (MailboxClosed, RuntimeError):
            # The loop is closed, and the client's connection with it.
            self._gone = True

    # On the loop's thread.

    async def serve(self, sink: ResponseSink, *, watches: bool) -> bool:
        """Does what the call asks for, to its end; returns whether the response is complete.

        With `watches` a client's leaving is looked for while the response streams, for servers whose `send` does not
        tell it. Raises what the sink's `receive` and `send` raise.
        """
        watching: asyncio.Task[None] | None = None
        try:
            while await self._serve_next(sink):
                if watches and watching is None and self._is_begun and not self._body_follows:
                    watching = asyncio.create_task(self._watch(sink))
        finally:
            self.break_off()
            if watching is not None:
                watching.cancel()
        return self._is_complete

    def answer_instead(self, head: ResponseHead, body: bytes) -> None:
        """Gives up the call, and answers this if nothing has been sent."""
        self._answer_instead = head, body
        self.break_off()

    def on_client_gone(self) -> None:
        """The client has gone; what came of its body before may still be read, to its end."""
        if not self._body_follows:
            self.break_off()

    def break_off(self) -> None:
        """Nothing more is to be sent: the call learns that the client has gone when it next has something for it."""
        with self._turn:
            self._gone = True
            self._pieces.clear()
            self._turn.notify_all()
        self._called.set()

    async def _serve_next(self, sink: ResponseSink) -> bool:
        """Waits for the call and does what it asks for; returns whether there may be more."""
        await self._called.wait()
        self._called.clear()
        with self._turn:
            head, self._head = self._head, None
            pieces, self._pieces = self._pieces, []
            wants_body, self._wants_body = self._wants_body, False
            ended = self._ended
        if self._gone:
            if self._answer_instead is not None and not self._is_begun:
                instead, text = self._answer_instead
                await self._send(sink, (instead, ()), [text], more=False)
            return False
        more = not ended or self._failed
        try:
            # A call that has ended waits for nobody.
            async with asyncio.timeout(None if ended else PATIENCE):
                if pieces or head is not None or not more:
                    await self._send(sink, head, pieces, more=more)
                    self._make_room(sum(map(len, pieces)))
                if wants_body:
                    await self._give_body(sink)
        except TimeoutError:
            raise ClientDisconnected(f"the client has kept the call waiting for {PATIENCE:g} seconds") from None
        return not ended

    async def _send(
        self,
        sink: ResponseSink,
        head: tuple[ResponseHead, Environ] | None,
        pieces: Sequence[bytes | memoryview],
        *,
        more: bool,
    ) -> None:
        if head is not None:
            self._is_begun = True
            await sink.start(*head)
            # A body that came in pieces is framed as one, also where all of it has gathered before the head went out.
            if pieces:
                await sink.send(b"".join(pieces), True)
                pieces = ()
        if pieces or not more:
            await sink.send(b"".join(pieces), more)
        self._is_complete = not more

    def _make_room(self, size: int) -> None:
        with self._turn:
            self._unsent -= size
            self._turn.notify_all()

    async def _give_body(self, sink: ResponseSink) -> None:
        message = await sink.receive()
        if message["type"] == "http.disconnect":
            self.break_off()
            return
        with self._turn:
            self._body = message.get("body", b"")
            self._body_follows = message.get("more_body", False)
            self._turn.notify_all()

    async def _watch(self, sink: ResponseSink) -> None:
        while (await sink.receive())["type"] != "http.disconnect":
            pass
        self.break_off()
