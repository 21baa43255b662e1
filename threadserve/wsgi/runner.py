"""Calling a WSGI application for the requests of our own connections: on a thread of the pool.

A runner belongs to one loop and runs on its thread. A request is handed over as it is, with its body once that is
there, and what comes back goes to its exchange: a whole response without a task, a future or a message in between.
"""

from collections.abc import Awaitable, Sequence
from io import BytesIO

from threadserve.errors import MailboxClosed
from threadserve.http.context import LoopContext
from threadserve.http.cross_thread import loop_ended_error
from threadserve.http.error_log import log_app_error
from threadserve.http.exchange import Exchange
from threadserve.http.head import ResponseHead
from threadserve.http.states import ABORTED, NOT_STARTED
from threadserve.types import Message
from threadserve.wsgi.body import Collected, collect, not_asked_for
from threadserve.wsgi.call import Call
from threadserve.wsgi.file_wrapper import OpenFile
from threadserve.wsgi.handover import Handover
from threadserve.wsgi.pool import Pool
from threadserve.wsgi.response import TIMED_OUT, TIMED_OUT_TEXT
from threadserve.wsgi.sink import Channel, Environ, Response, ResponseSink, Sleeper


class WSGIRunner:
    """Starts the calls of one loop."""

    __slots__ = ("_context", "_environ_names", "_handover")

    def __init__(self, pool: Pool, context: LoopContext) -> None:
        self._context = context
        self._handover = Handover(pool, context.loop, context.post_threadsafe)
        log = context.access_log
        self._environ_names: Sequence[str] = log.format.environ_names if log is not None and log.format else ()

    def start(self, exchange: Exchange) -> None:
        """Hands the request over to the pool."""
        self._context.registry.calls.add(exchange)
        sink = ExchangeSink(exchange, self._context, self._handover, self._environ_names)
        exchange.listener = sink
        sink.take_body()


class ExchangeSink(ResponseSink):
    """The loop's side of a call for a request of our own."""

    __slots__ = ("_channel", "_context", "_exchange", "_handover", "_has_ended")

    def __init__(
        self, exchange: Exchange, context: LoopContext, handover: Handover, environ_names: Sequence[str]
    ) -> None:
        self.post = context.post_threadsafe
        self.environ_names = environ_names
        self.sends_files = True
        self.adds_root_path = True
        self._exchange = exchange
        self._context = context
        self._handover = handover
        self._channel: Channel | None = None
        self._has_ended = False

    def take_body(self) -> None:
        """Has the call made once as much of the request's body is there as that takes."""
        exchange = self._exchange
        if exchange.body is None:
            self._submit(None)
        elif (whole := exchange.take_complete_body()) is not None:
            self._submit(Collected(BytesIO(whole), len(whole), False))
        elif exchange.head.framing.expects_continue and not exchange.head.framing.chunked:
            self._submit(not_asked_for())
        else:
            task = self._context.start_task(self._collect())
            if not task.done():
                exchange.task = task

    async def _collect(self) -> None:
        exchange = self._exchange
        try:
            body = await collect(exchange.receive, is_sized=not exchange.head.framing.chunked)
        except GeneratorExit:
            raise
        except BaseException as error:
            self._on_error(error)
            self._end_once()
            return
        finally:
            exchange.task = None
        self._submit(body)

    def _submit(self, body: Collected | None) -> None:
        self._handover.submit(Call(self, self._exchange.scope, body))

    # Called by the exchange: see its `ExchangeListener`.

    def on_client_gone(self) -> None:
        """The client has gone. A call that waits between two pieces learns of it at the next."""
        if self._channel is not None:
            self._channel.on_client_gone()

    def on_cancelled(self) -> None:
        """What comes of the call is nobody's."""
        if self._exchange.task is None:
            self._end_once()

    # Called for the call: see `ResponseSink`.

    def respond_threadsafe(self, response: Response) -> Sleeper | None:
        """See `ResponseSink`."""
        try:
            return self._handover if self._handover.respond_threadsafe(response) else None
        except (MailboxClosed, RuntimeError):
            raise loop_ended_error() from None

    def respond(self, head: ResponseHead, body: bytes, environ: Environ) -> None:
        """See `ResponseSink`."""
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
        self._end_once()

    def open(self, channel: Channel) -> None:
        """See `ResponseSink`."""
        self._channel = channel
        if self._has_ended or self._exchange.response_state == ABORTED:
            channel.break_off()
        if not self._has_ended:
            self._start_task(channel.serve(self, watches=False))

    def send_file(self, head: ResponseHead, file: OpenFile, environ: Environ) -> None:
        """See `ResponseSink`."""
        if self._has_ended:
            file.file.close()
        else:
            self._start_task(self._send_open_file(head, file, environ))

    def give_up(self) -> None:
        """See `ResponseSink`."""
        if self._channel is None:
            self.respond(TIMED_OUT, TIMED_OUT_TEXT, ())
        else:
            self._channel.answer_instead(TIMED_OUT, TIMED_OUT_TEXT)

    async def receive(self) -> Message:
        """See `ResponseSink`."""
        return await self._exchange.receive()

    async def start(self, head: ResponseHead, environ: Environ) -> None:
        """See `ResponseSink`. Nothing is begun for a client that has gone."""
        if self._exchange.response_state == NOT_STARTED:
            self._exchange.environ = environ
            self._exchange.start_formatted(head)

    async def send(self, body: bytes, more: bool) -> None:
        """See `ResponseSink`."""
        await self._exchange({"type": "http.response.body", "body": body, "more_body": more})

    # Where there is something to wait for.

    def _start_task(self, work: Awaitable[bool]) -> None:
        task = self._context.start_task(self._see_through(work))
        if not task.done():
            self._exchange.task = task

    async def _see_through(self, work: Awaitable[bool]) -> None:
        """Awaits what returns whether the response is complete, and sees to what is left undone."""
        try:
            if not await work:
                self._exchange.fail()
        except GeneratorExit:
            raise
        except BaseException as error:
            self._on_error(error)
        self._exchange.task = None
        self._end_once()

    async def _send_open_file(self, head: ResponseHead, file: OpenFile, environ: Environ) -> bool:
        with file.file:
            await self.start(head, environ)
            await self._exchange.send_file(file.file, file.offset, file.size)
        return True

    def _on_error(self, error: BaseException) -> None:
        exchange = self._exchange
        log_app_error(error, "WSGI", is_cancelled=exchange.is_cancelled)
        exchange.fail()

    def _end_once(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            # Else they would refer to one another, and wait for the garbage collector.
            self._exchange.listener = None
            self._channel = None
            self._context.registry.end(self._exchange)
