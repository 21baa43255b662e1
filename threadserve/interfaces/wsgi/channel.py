"""Between a call on a pool thread and its request's loop, once the call does more than give a whole response at once.

The pool thread calls what is named `*_threadsafe`, and waits there for the client; the loop thread runs `serve`. What
passes is guarded by the channel's own lock, which is held for a few lines. The loop is woken once for all that has
gathered meanwhile.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence

from threadserve.errors import ClientDisconnected, MailboxClosed
from threadserve.interfaces.wsgi.answers import Answer
from threadserve.types import Message, Receive, Send

HIGH_WATER = 262144
# For how many seconds a call waits for its client to send more of its body, or to take what fits under the mark.
PATIENCE = 120.0

Post = Callable[..., object]


class Channel:
    """One call's way to its client. `post` has a call made on the loop; `body_follows` says that there is more of the
    request's body to receive.
    """

    def __init__(self, post: Post, *, body_follows: bool) -> None:
        self._post = post
        self._channel_lock = threading.Lock()
        self._turn = threading.Condition(self._channel_lock)
        self._start: Message | None = None
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
        self._answer_instead: Answer | None = None

    # From the pool thread.

    def start_threadsafe(self, message: Message) -> None:
        """Begins the response; the head goes out with what comes next."""
        with self._turn:
            self._start = message

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

    async def serve(self, receive: Receive, send: Send, *, watches: bool) -> bool:
        """Does what the call asks for, to its end; returns whether the response is complete.

        With `watches` a client's leaving is looked for while the response streams, for servers whose `send` does not
        tell it. Raises what `receive` and `send` raise.
        """
        watching: asyncio.Task[None] | None = None
        try:
            while await self._serve_next(receive, send):
                if watches and watching is None and self._is_begun and not self._body_follows:
                    watching = asyncio.create_task(self._watch(receive))
        finally:
            self.break_off()
            if watching is not None:
                watching.cancel()
        return self._is_complete

    def answer_instead(self, answer: Answer) -> None:
        """Gives up the call, and answers this if nothing has been sent."""
        self._answer_instead = answer
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

    async def _serve_next(self, receive: Receive, send: Send) -> bool:
        """Waits for the call and does what it asks for; returns whether there may be more."""
        await self._called.wait()
        self._called.clear()
        with self._turn:
            start, self._start = self._start, None
            pieces, self._pieces = self._pieces, []
            wants_body, self._wants_body = self._wants_body, False
            ended = self._ended
        if self._gone:
            if self._answer_instead is not None and not self._is_begun:
                await self._send(send, self._answer_instead.start, [self._answer_instead.body], more=False)
            return False
        more = not ended or self._failed
        try:
            # A call that has ended waits for nobody.
            async with asyncio.timeout(None if ended else PATIENCE):
                if pieces or start is not None or not more:
                    await self._send(send, start, pieces, more=more)
                    self._make_room(sum(map(len, pieces)))
                if wants_body:
                    await self._give_body(receive)
        except TimeoutError:
            raise ClientDisconnected(f"the client has kept the call waiting for {PATIENCE:g} seconds") from None
        return not ended

    async def _send(
        self, send: Send, start: Message | None, pieces: Sequence[bytes | memoryview], *, more: bool
    ) -> None:
        if start is not None:
            self._is_begun = True
            await send(start)
            # A body that came in pieces is framed as one, also where all of it has gathered before the head went out.
            if pieces:
                await send({"type": "http.response.body", "body": b"".join(pieces), "more_body": True})
                pieces = ()
        if pieces or not more:
            await send({"type": "http.response.body", "body": b"".join(pieces), "more_body": more})
        self._is_complete = not more

    def _make_room(self, size: int) -> None:
        with self._turn:
            self._unsent -= size
            self._turn.notify_all()

    async def _give_body(self, receive: Receive) -> None:
        message = await receive()
        if message["type"] == "http.disconnect":
            self.break_off()
            return
        with self._turn:
            self._body = message.get("body", b"")
            self._body_follows = message.get("more_body", False)
            self._turn.notify_all()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.break_off()
