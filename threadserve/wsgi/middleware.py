"""A WSGI application as an ASGI application.

The middleware's pool serves all loops; each request belongs to the loop on which it arrived, and is called on a pool
thread. This server's own connections take a shorter way to the pool, without the messages of ASGI: see `runner`.
"""

import asyncio
from functools import partial

from threadserve.config.defaults import default_wsgi_threads
from threadserve.errors import ClientDisconnected
from threadserve.http.head import ResponseHead
from threadserve.types import ConnectionScope, Headers, Message, Receive, Scope, Send
from threadserve.wsgi.body import collect_body, unrequested_body
from threadserve.wsgi.call import Call, ThreadCache, WSGIApp
from threadserve.wsgi.environ import OPTIONAL_SCOPE
from threadserve.wsgi.file_wrapper import OpenFile
from threadserve.wsgi.pool import Pool
from threadserve.wsgi.response import TIMEOUT_BODY, TIMEOUT_HEAD
from threadserve.wsgi.sink import Channel, EnvironValues, ResponseSink

DEFAULT_QUEUE_LIMIT = 1024


class WSGIMiddleware:
    """An ASGI 3 application that calls the WSGI application `app` on the threads of a pool.

    `threads` is the pool's size (None: the default of `--wsgi-threads`), `queue` the number of calls that may wait for
    a thread before 503 is answered, `timeout_request` the time limit of a call in seconds or None, and
    `is_multiprocess` the value of `wsgi.multiprocess`.
    """

    def __init__(
        self,
        app: WSGIApp,
        *,
        threads: int | None = None,
        queue: int = DEFAULT_QUEUE_LIMIT,
        timeout_request: float | None = None,
        is_multiprocess: bool = False,
    ) -> None:
        self.app = app
        count = default_wsgi_threads() if threads is None else threads
        self.pool = Pool(count, queue, timeout_request, partial(ThreadCache, app, is_multiprocess))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; refuse a WebSocket. Raises `ValueError` for a lifespan, which WSGI does not have."""
        if scope["type"] == "http":
            await ASGISink(receive, send).run(self.pool, {**OPTIONAL_SCOPE, **scope})
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
        else:
            raise ValueError(f"a WSGI application has no {scope['type']!r}")

    def stop(self, timeout: float) -> bool:
        """Stop the pool's threads; return whether all of them ended within `timeout` seconds."""
        return self.pool.stop(timeout)


class ASGISink(ResponseSink):
    """The loop's side of one call, over the messages of ASGI, which have no reason phrase."""

    def __init__(self, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        self.post = loop.call_soon_threadsafe
        self.environ_names = ()
        self.can_send_files = False
        self.adds_root_path = False
        self._receive = receive
        self._send = send
        # The call's whole response, or the channel over which it streams one.
        self._outcome: asyncio.Future[tuple[ResponseHead, bytes] | Channel] = loop.create_future()

    async def run(self, pool: Pool, scope: ConnectionScope) -> None:
        """Take a request from its body to its response. Raises the errors of `receive` and `send`."""
        is_sized = has_content_length(scope)
        if is_sized and expects_continue(scope):
            body = unrequested_body()
        else:
            try:
                body = await collect_body(self._receive, is_sized=is_sized)
            except ClientDisconnected:
                return
        for refused in pool.submit_threadsafe([Call(self, scope, body)]):
            pool.report_refusals_threadsafe(1)
            refused.refuse()
        outcome = await self._outcome
        if isinstance(outcome, Channel):
            await outcome.serve(self, watches_disconnect=True)
            return
        head, content = outcome
        fields = asgi_headers(head)
        if head.length < 0 and head.status not in (204, 304):
            fields.append((b"content-length", b"%d" % len(content)))
        await self._send({"type": "http.response.start", "status": head.status, "headers": fields})
        await self.send(content, False)

    # Called for the call: see `ResponseSink`.

    def respond(self, head: ResponseHead, body: bytes, environ: EnvironValues) -> None:
        """Send the whole response (see `ResponseSink`)."""
        if not self._outcome.done():
            self._outcome.set_result((head, body))

    def open_channel(self, channel: Channel) -> None:
        """Stream the response (see `ResponseSink`)."""
        if self._outcome.done():
            channel.disconnect()
        else:
            self._outcome.set_result(channel)

    def send_file(self, head: ResponseHead, file: OpenFile, environ: EnvironValues) -> None:
        """Never called (see `ResponseSink`)."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Answer 504 (see `ResponseSink`)."""
        if not self._outcome.done():
            self.respond(TIMEOUT_HEAD, TIMEOUT_BODY, ())
        elif not self._outcome.cancelled() and isinstance(channel := self._outcome.result(), Channel):
            channel.replace_response(TIMEOUT_HEAD, TIMEOUT_BODY)

    async def receive(self) -> Message:
        """Return the next message of the request (see `ResponseSink`)."""
        return await self._receive()

    async def start(self, head: ResponseHead, environ: EnvironValues) -> None:
        """Send the response's head (see `ResponseSink`)."""
        await self._send({"type": "http.response.start", "status": head.status, "headers": asgi_headers(head)})

    async def send(self, body: bytes, more: bool) -> None:
        """Send a part of the body (see `ResponseSink`)."""
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


def asgi_headers(head: ResponseHead) -> Headers:
    """Return the fields of a response as ASGI messages have them."""
    return [*head.fields(), *([(b"connection", b"close")] if head.closes_connection else [])]


def expects_continue(scope: ConnectionScope) -> bool:
    """Return whether the client sends the body only after a 100 (RFC 9110 section 10.1.1)."""
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in scope["headers"])


def has_content_length(scope: ConnectionScope) -> bool:
    """Return whether the request has a content-length, and so is not chunked."""
    return any(name == b"content-length" for name, _ in scope["headers"])
