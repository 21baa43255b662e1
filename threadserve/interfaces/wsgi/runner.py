"""Calling a WSGI application for the requests of threadserve's own connections: on a thread of the pool.

A runner belongs to one loop and runs on its thread; the pool thread has the loop call what it made through the mailbox.
A request without a body is handed over as it is and comes back as a whole response, without a task, a future or a
message in between. Everything else takes the bridge's general way, with the exchange's own `receive` and `send`.
"""

from collections.abc import Awaitable, Sequence

from threadserve.http.context import LoopContext
from threadserve.http.exchange import Exchange
from threadserve.http.reporting import report_app_error
from threadserve.http.states import ABORTED, NOT_STARTED
from threadserve.interfaces.wsgi.answers import Answer
from threadserve.interfaces.wsgi.bridge import Conversation, WSGIBridge
from threadserve.interfaces.wsgi.call import Answers, Call
from threadserve.interfaces.wsgi.channel import Channel
from threadserve.interfaces.wsgi.file_wrapper import OpenFile
from threadserve.interfaces.wsgi.loop_calls import LoopCalls
from threadserve.types import Message


class WSGIRunner:
    """Starts the calls of one loop."""

    def __init__(self, bridge: WSGIBridge, context: LoopContext) -> None:
        self._pool = bridge.pool
        self._context = context
        self._calls = LoopCalls(bridge.pool, context.loop, context.post_threadsafe)
        log = context.access_log
        self._environ_names: Sequence[str] = log.format.environ_names if log is not None and log.format else ()

    def start(self, exchange: Exchange) -> None:
        """Hands the request over to the pool."""
        context = self._context
        context.registry.calls.add(exchange)
        port = ExchangePort(exchange, context, self._calls, self._environ_names)
        exchange.listener = port
        body = exchange.body
        if body is None:
            self._calls.submit(Call(port, exchange.scope, None))
        else:
            port.converse(Conversation(self._pool, exchange.scope, context.post_threadsafe, self._environ_names))


class ExchangePort:
    """A request in flight, as its call sees it: see `Port` for what is called through `post`."""

    sends_files = True

    def __init__(
        self, exchange: Exchange, context: LoopContext, calls: LoopCalls, environ_names: Sequence[str]
    ) -> None:
        self.post = context.post_threadsafe
        self.answers: Answers | None = calls
        self.environ_names = environ_names
        self._exchange = exchange
        self._context = context
        self._channel: Channel | None = None
        self._conversation: Conversation | None = None
        self._has_ended = False

    def converse(self, conversation: Conversation) -> None:
        """Takes the bridge's general way."""
        self._conversation = conversation
        exchange = self._exchange
        self._start_task(conversation.run(exchange.receive, exchange.send, watches=False))

    # Called by the exchange: see its `Listener`.

    def on_client_gone(self) -> None:
        """The client has gone. A call that waits between two pieces learns of it at the next."""
        told = self._channel or self._conversation
        if told is not None:
            told.on_client_gone()

    def on_cut_off(self) -> None:
        """What comes of the call is nobody's."""
        if self._exchange.task is None:
            self._end_once()

    # Called through `post`.

    def finish(self, answer: Answer) -> None:
        """See `Port`."""
        if self._has_ended:
            return
        exchange = self._exchange
        if exchange.response_state == NOT_STARTED:
            try:
                exchange.start(answer.start)
                exchange.send_part(answer.body, more=False)
            except Exception as error:
                self._on_error(error)
        self._end_once()

    def open(self, channel: Channel) -> None:
        """See `Port`."""
        exchange = self._exchange
        self._channel = channel
        if self._has_ended or exchange.response_state == ABORTED:
            channel.break_off()
        if not self._has_ended:
            self._start_task(channel.serve(exchange.receive, exchange.send, watches=False))

    def send_file(self, start: Message, file: OpenFile) -> None:
        """See `Port`."""
        if self._has_ended:
            file.file.close()
        else:
            self._start_task(self._send_open_file(start, file))

    def give_up(self, answer: Answer) -> None:
        """See `Port`."""
        if self._channel is None:
            self.finish(answer)
        else:
            self._channel.answer_instead(answer)

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
        self._end_once()

    async def _send_open_file(self, start: Message, file: OpenFile) -> bool:
        with file.file:
            await self._exchange.send(start)
            await self._exchange.send_file(file.file, file.offset, file.size)
        return True

    def _on_error(self, error: BaseException) -> None:
        exchange = self._exchange
        report_app_error(error, "WSGI", is_cut_off=exchange.is_cut_off)
        exchange.fail()

    def _end_once(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._context.registry.end(self._exchange)
