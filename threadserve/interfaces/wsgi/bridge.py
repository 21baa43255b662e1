"""A WSGI application as an ASGI application.

The bridge's pool is for all loops; each request belongs to the loop on which it came, and is called on a pool thread.
Under threadserve a request without a body takes a shorter way, past the messages of ASGI (`http/wsgi_exchange.py`).
"""

import asyncio
from collections.abc import Sequence
from functools import partial

from threadserve.config.build import default_wsgi_threads
from threadserve.interfaces.wsgi.answers import BUSY, Answer
from threadserve.interfaces.wsgi.body import collect, not_asked_for
from threadserve.interfaces.wsgi.call import Answers, Call, Memory, WSGIApp
from threadserve.interfaces.wsgi.channel import Channel, Post
from threadserve.interfaces.wsgi.environ import OPTIONAL
from threadserve.interfaces.wsgi.file_wrapper import OpenFile
from threadserve.interfaces.wsgi.pool import Pool
from threadserve.types import Message, Receive, Scope, Send

DEFAULT_QUEUE = 1024


class WSGIBridge:
    """An ASGI 3 application that calls `app` on the threads of a pool.

    `threads` are the pool's (None: as many as `--wsgi-threads` defaults to), `queue` is how many calls may wait for
    one before 503 is answered, `timeout_request` after how many seconds a call is given up, or None, and
    `is_multiprocess` what the application is told about other processes.
    """

    def __init__(
        self,
        app: WSGIApp,
        *,
        threads: int | None = None,
        queue: int = DEFAULT_QUEUE,
        timeout_request: float | None = None,
        is_multiprocess: bool = False,
    ) -> None:
        self.app = app
        count = default_wsgi_threads() if threads is None else threads
        self.pool = Pool(count, queue, timeout_request, partial(Memory, app, is_multiprocess))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request. A WebSocket is refused, and for a lifespan `ValueError` is raised: WSGI has neither."""
        if scope["type"] == "http":
            await Conversation(self.pool, scope, asyncio.get_running_loop().call_soon_threadsafe).run(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
        else:
            raise ValueError(f"a WSGI application has no {scope['type']!r}")

    def stop(self, timeout: float) -> bool:
        """Ends the pool's threads; returns whether all of them ended within `timeout` seconds."""
        return self.pool.stop(timeout)


class Conversation:
    """The loop's side of one call, over the messages of ASGI. See `Port`."""

    sends_files = False
    answers: Answers | None = None

    def __init__(self, pool: Pool, scope: Scope, post: Post, environ_names: Sequence[str] = ()) -> None:
        self.post = post
        self.environ_names = environ_names
        self._pool = pool
        self._scope = {**OPTIONAL, **scope}
        self._outcome: asyncio.Future[Answer | Channel] = asyncio.get_running_loop().create_future()

    async def run(self, receive: Receive, send: Send, *, watches: bool = True) -> bool:
        """Takes a request from its body to its response; returns whether that is complete.

        `watches` is for `Channel.serve`. Raises what `receive` and `send` raise.
        """
        is_sized = declares_length(self._scope)
        waits = is_sized and expects_continue(self._scope)
        body = not_asked_for() if waits else await collect(receive, is_sized=is_sized)
        if self._pool.submit_threadsafe([Call(self, self._scope, body)]):
            body.file.close()
            self._pool.report_refusal_threadsafe()
            await respond(send, BUSY)
            return True
        outcome = await self._outcome
        if isinstance(outcome, Channel):
            return await outcome.serve(receive, send, watches=watches)
        await respond(send, outcome)
        return True

    def on_client_gone(self) -> None:
        """The client has gone, which the call is to learn before it next sends something."""
        if (channel := self._channel) is not None:
            channel.on_client_gone()

    @property
    def _channel(self) -> Channel | None:
        outcome = self._outcome.result() if self._outcome.done() and not self._outcome.cancelled() else None
        return outcome if isinstance(outcome, Channel) else None

    def finish(self, answer: Answer) -> None:
        """See `Port`."""
        if not self._outcome.done():
            self._outcome.set_result(answer)

    def open(self, channel: Channel) -> None:
        """See `Port`."""
        if self._outcome.done():
            channel.break_off()
        else:
            self._outcome.set_result(channel)

    def send_file(self, start: Message, file: OpenFile) -> None:
        """See `Port`: never called."""
        raise NotImplementedError

    def give_up(self, answer: Answer) -> None:
        """See `Port`."""
        if not self._outcome.done():
            self._outcome.set_result(answer)
        elif (channel := self._channel) is not None:
            channel.answer_instead(answer)


async def respond(send: Send, answer: Answer) -> None:
    """Sends a whole response."""
    await send(answer.start)
    await send({"type": "http.response.body", "body": answer.body})


def expects_continue(scope: Scope) -> bool:
    """Whether the client sends the body only when it is asked for (RFC 9110 section 10.1.1)."""
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in scope["headers"])


def declares_length(scope: Scope) -> bool:
    """Whether the request says how long its body is, unlike a chunked one."""
    return any(name == b"content-length" for name, _ in scope["headers"])
