"""Calls of a WSGI application for requests of this server's connections, on a thread of the pool.

A runner belongs to one loop and runs on its thread. It submits a request's scope and body, and gives the response to
the exchange: a whole response takes no task, no future and no message.
"""

from collections.abc import Awaitable, Sequence
from io import BytesIO

from threadserve.errors import MailboxClosed
from threadserve.http.asgi_send import ASGISend
from threadserve.http.context import LoopContext
from threadserve.http.cross_thread import loop_ended_error
from threadserve.http.error_log import log_app_error
from threadserve.http.exchange import Exchange
from threadserve.http.head import ResponseHead
from threadserve.http.states import ABORTED, NOT_STARTED
from threadserve.types import Message
from threadserve.wsgi.body import CollectedBody, collect_body, unrequested_body
from threadserve.wsgi.call import Call
from threadserve.wsgi.dispatcher import CallDispatcher
from threadserve.wsgi.file_wrapper import OpenFile
from threadserve.wsgi.pool import Pool
from threadserve.wsgi.response import TIMEOUT_BODY, TIMEOUT_HEAD
from threadserve.wsgi.sink import Channel, CompletedCall, EnvironValues, ResponseSink, Wakeable


class WSGIRunner:
    """Starts the calls of one loop."""

    __slots__ = ("_context", "_dispatcher", "_environ_names")

    def __init__(self, pool: Pool, context: LoopContext) -> None:
        self._context = context
        self._dispatcher = CallDispatcher(pool, context.loop, context.post_threadsafe)
        log = context.access_log
        self._environ_names: Sequence[str] = log.format.environ_names if log is not None and log.format else ()

    def start(self, exchange: Exchange) -> None:
        """Submit the request to the pool."""
        self._context.registry.calls.add(exchange)
        sink = ExchangeSink(exchange, self._context, self._dispatcher, self._environ_names)
        exchange.listener = sink
        sink.receive_body()


class ExchangeSink(ResponseSink):
    """The loop's side of a call for an exchange."""

    __slots__ = ("_asgi_send", "_channel", "_context", "_dispatcher", "_exchange", "_has_ended")

    # Made with the channel.
    _asgi_send: ASGISend

    def __init__(
        self, exchange: Exchange, context: LoopContext, dispatcher: CallDispatcher, environ_names: Sequence[str]
    ) -> None:
        self.post = context.post_threadsafe
        self.environ_names = environ_names
        self.can_send_files = True
        self.adds_root_path = True
        self._exchange = exchange
        self._context = context
        self._dispatcher = dispatcher
        self._channel: Channel | None = None
        self._has_ended = False

    def receive_body(self) -> None:
        """Submit the call once enough of the request's body has arrived (see `body`)."""
        exchange = self._exchange
        if exchange.body is None:
            self._submit(None)
        elif (whole := exchange.take_complete_body()) is not None:
            self._submit(CollectedBody(BytesIO(whole), len(whole), False))
        elif exchange.head.framing.expects_continue and not exchange.head.framing.chunked:
            self._submit(unrequested_body())
        else:
            task = self._context.start_task(self._collect_body())
            if not task.done():
                exchange.task = task

    async def _collect_body(self) -> None:
        exchange = self._exchange
        try:
            body = await collect_body(exchange.receive, is_sized=not exchange.head.framing.chunked)
        except GeneratorExit:
            raise
        except BaseException as error:
            self._on_error(error)
            self._end()
            return
        finally:
            exchange.task = None
        self._submit(body)

    def _submit(self, body: CollectedBody | None) -> None:
        self._dispatcher.submit(Call(self, self._exchange.scope, body))

    # Called by the exchange: see its `ExchangeListener`.

    def on_client_gone(self) -> None:
        """Tell a streaming call that its client has gone; it learns of it at its next piece."""
        if self._channel is not None:
            self._channel.on_client_gone()

    def on_cancelled(self) -> None:
        """Ignore the call's response from now on."""
        if self._exchange.task is None:
            self._end()

    # Called for the call: see `ResponseSink`.

    def complete_threadsafe(self, response: CompletedCall) -> Wakeable | None:
        """Queue a completed call for the loop (see `ResponseSink`)."""
        try:
            return self._dispatcher if self._dispatcher.complete_threadsafe(response) else None
        except (MailboxClosed, RuntimeError):
            raise loop_ended_error() from None

    def respond(self, head: ResponseHead, body: bytes, environ: EnvironValues) -> None:
        """Send the whole response (see `ResponseSink`)."""
        if self._has_ended:
            return
        exchange = self._exchange
        if exchange.response_state == NOT_STARTED:
            try:
                exchange.environ = environ
                exchange.start_formatted(head)
                exchange.send_part(body, more=False)
            except Exception as error:
                self._on_error(error)
        self._end()

    def open_channel(self, channel: Channel) -> None:
        """Stream the response (see `ResponseSink`)."""
        self._channel = channel
        self._asgi_send = ASGISend(self._exchange)
        if self._has_ended or self._exchange.response_state == ABORTED:
            channel.disconnect()
        if not self._has_ended:
            self._start_task(channel.serve(self, watches_disconnect=False))

    def send_file(self, head: ResponseHead, file: OpenFile, environ: EnvironValues) -> None:
        """Send a file (see `ResponseSink`)."""
        if self._has_ended:
            file.file.close()
        else:
            self._start_task(self._send_open_file(head, file, environ))

    def abandon(self) -> None:
        """Answer 504 (see `ResponseSink`)."""
        if self._channel is None:
            self.respond(TIMEOUT_HEAD, TIMEOUT_BODY, ())
        else:
            self._channel.replace_response(TIMEOUT_HEAD, TIMEOUT_BODY)

    async def receive(self) -> Message:
        """Return the next message of the request (see `ResponseSink`)."""
        return await self._exchange.receive()

    async def start(self, head: ResponseHead, environ: EnvironValues) -> None:
        """Start the response, unless the client has gone (see `ResponseSink`)."""
        if self._exchange.response_state == NOT_STARTED:
            self._exchange.environ = environ
            self._exchange.start_formatted(head)

    async def send(self, body: bytes, more: bool) -> None:
        """Send a part of the body (see `ResponseSink`)."""
        await self._asgi_send({"type": "http.response.body", "body": body, "more_body": more})

    # Responses that have to wait.

    def _start_task(self, response: Awaitable[bool]) -> None:
        task = self._context.start_task(self._run_task(response))
        if not task.done():
            self._exchange.task = task

    async def _run_task(self, response: Awaitable[bool]) -> None:
        """Await a response, which returns whether it is complete, and end the exchange."""
        try:
            if not await response:
                self._exchange.fail()
        except GeneratorExit:
            raise
        except BaseException as error:
            self._on_error(error)
        self._exchange.task = None
        self._end()

    async def _send_open_file(self, head: ResponseHead, file: OpenFile, environ: EnvironValues) -> bool:
        with file.file:
            await self.start(head, environ)
            await self._exchange.send_file(file.file, file.offset, file.size)
        return True

    def _on_error(self, error: BaseException) -> None:
        exchange = self._exchange
        log_app_error(error, "WSGI", is_cancelled=exchange.is_cancelled)
        exchange.fail()

    def _end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            # Break the reference cycle, which would wait for the garbage collector.
            self._exchange.listener = None
            self._channel = None
            self._context.registry.end_call(self._exchange)
