"""A WSGI application as an ASGI application.

The middleware's pool is for all loops; each request belongs to the loop on which it came, and is called on a pool
thread. Our own connections take a shorter way to the pool, past the messages of ASGI: see `runner`.
"""

import asyncio
from functools import partial
from typing import Any

from threadserve.config.defaults import default_wsgi_threads
from threadserve.errors import ClientDisconnected
from threadserve.http.head import ResponseHead
from threadserve.types import Headers, Message, Receive, Scope, Send
from threadserve.wsgi.body import collect, not_asked_for
from threadserve.wsgi.call import Call, ThreadCache, WSGIApp
from threadserve.wsgi.environ import OPTIONAL
from threadserve.wsgi.file_wrapper import OpenFile
from threadserve.wsgi.pool import Pool
from threadserve.wsgi.response import TIMED_OUT, TIMED_OUT_TEXT
from threadserve.wsgi.sink import Channel, Environ, ResponseSink

DEFAULT_QUEUE = 1024


class WSGIMiddleware:
    """An ASGI 3 application that calls the WSGI application `app` on the threads of a pool.

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
        self.pool = Pool(count, queue, timeout_request, partial(ThreadCache, app, is_multiprocess))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request. A WebSocket is refused, and for a lifespan `ValueError` is raised: WSGI has neither."""
        if scope["type"] == "http":
            await MessageSink(receive, send).run(self.pool, {**OPTIONAL, **scope})
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
        else:
            raise ValueError(f"a WSGI application has no {scope['type']!r}")

    def stop(self, timeout: float) -> bool:
        """Ends the pool's threads; returns whether all of them ended within `timeout` seconds."""
        return self.pool.stop(timeout)


class MessageSink(ResponseSink):
    """The loop's side of one call, over the messages of ASGI, which know no reason phrase."""

    def __init__(self, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        self.post = loop.call_soon_threadsafe
        self.environ_names = ()
        self.sends_files = False
        self.adds_root_path = False
        self._receive = receive
        self._send = send
        # What the call answers, or that it goes on over a channel.
        self._outcome: asyncio.Future[tuple[ResponseHead, bytes] | Channel] = loop.create_future()

    async def run(self, pool: Pool, scope: dict[str, Any]) -> None:
        """Takes a request from its body to its response. Raises what `receive` and `send` raise."""
        is_sized = declares_length(scope)
        if is_sized and expects_continue(scope):
            body = not_asked_for()
        else:
            try:
                body = await collect(self._receive, is_sized=is_sized)
            except ClientDisconnected:
                return
        for refused in pool.submit_threadsafe([Call(self, scope, body)]):
            pool.report_refusals_threadsafe(1)
            refused.refuse()
        outcome = await self._outcome
        if isinstance(outcome, Channel):
            await outcome.serve(self, watches=True)
            return
        head, content = outcome
        fields = fields_of(head)
        if head.length < 0 and head.status not in (204, 304):
            fields.append((b"content-length", b"%d" % len(content)))
        await self._send({"type": "http.response.start", "status": head.status, "headers": fields})
        await self.send(content, False)

    # See `ResponseSink`.

    def respond(self, head: ResponseHead, body: bytes, environ: Environ) -> None:
        """See `ResponseSink`."""
        if not self._outcome.done():
            self._outcome.set_result((head, body))

    def open(self, channel: Channel) -> None:
        """See `ResponseSink`."""
        if self._outcome.done():
            channel.break_off()
        else:
            self._outcome.set_result(channel)

    def send_file(self, head: ResponseHead, file: OpenFile, environ: Environ) -> None:
        """See `ResponseSink`: never called."""
        raise NotImplementedError

    def give_up(self) -> None:
        """See `ResponseSink`."""
        if not self._outcome.done():
            self.respond(TIMED_OUT, TIMED_OUT_TEXT, ())
        elif not self._outcome.cancelled() and isinstance(channel := self._outcome.result(), Channel):
            channel.answer_instead(TIMED_OUT, TIMED_OUT_TEXT)

    async def receive(self) -> Message:
        """See `ResponseSink`."""
        return await self._receive()

    async def start(self, head: ResponseHead, environ: Environ) -> None:
        """See `ResponseSink`."""
        await self._send({"type": "http.response.start", "status": head.status, "headers": fields_of(head)})

    async def send(self, body: bytes, more: bool) -> None:
        """See `ResponseSink`."""
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


def fields_of(head: ResponseHead) -> Headers:
    """The fields of a response as messages have them."""
    return [*head.fields(), *([(b"connection", b"close")] if head.closes_connection else [])]


def expects_continue(scope: dict[str, Any]) -> bool:
    """Whether the client sends the body only when it is asked for (RFC 9110 section 10.1.1)."""
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in scope["headers"])


def declares_length(scope: dict[str, Any]) -> bool:
    """Whether the request says how long its body is, unlike a chunked one."""
    return any(name == b"content-length" for name, _ in scope["headers"])
