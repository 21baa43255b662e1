"""The exchange of a WSGI application's request: a call on a pool thread.

Belongs to its connection, on the connection's loop thread; the pool thread has the loop call it through the mailbox. A
request without a body is handed over as it is and comes back as a whole response, without a task, a future or a message
in between. Everything else takes the bridge's general way, with this exchange's own `receive` and `send`.
"""

from collections.abc import Awaitable, Sequence
from typing import cast

from threadserve.http.exchange import Exchange
from threadserve.http.logged_exchange import LoggedExchange, MakeExchange
from threadserve.http.logged_exchange import exchange_maker as asgi_exchange_maker
from threadserve.http.loop_state import LoopState
from threadserve.http.response_side import AWAITED, GONE, LARGE_BODY
from threadserve.interfaces.wsgi.answers import Answer
from threadserve.interfaces.wsgi.bridge import Conversation, WSGIBridge
from threadserve.interfaces.wsgi.call import ENVIRON, Call
from threadserve.interfaces.wsgi.channel import Channel
from threadserve.interfaces.wsgi.file_wrapper import OpenFile
from threadserve.interfaces.wsgi.loop_calls import LoopCalls
from threadserve.types import Message


def exchange_maker(state: LoopState) -> MakeExchange:
    """What makes the exchanges of a loop's connections, whatever the interface of its application."""
    if isinstance(state.app, WSGIBridge):
        if state.wsgi_calls is None:
            state.wsgi_calls = LoopCalls(state.app.pool, state.loop, state.post_threadsafe)
        return asgi_exchange_maker(state, WSGIExchange, LoggedWSGIExchange)
    return asgi_exchange_maker(state)


class WSGIExchange(Exchange):
    """A request in flight. See `Port` for what is called through `post`."""

    sends_files = True
    interface = "WSGI"
    environ_names: Sequence[str] = ()
    _channel: Channel | None = None
    _conversation: Conversation | None = None
    _has_ended = False

    def begin(self) -> None:
        """Hands the request over to the pool."""
        state = self.state
        self.post = state.post_threadsafe
        self.began = state.loop.time()
        state.exchanges.add(self)
        if self._more_body:
            pool = cast("WSGIBridge", state.app).pool
            self._conversation = conversation = Conversation(pool, self.scope, self.post, self.environ_names)
            self._start_task(conversation.run(self.receive, self.send, watches=False))
        else:
            self.answers = state.wsgi_calls
            state.wsgi_calls.submit(Call(self, self.scope, None))

    def disconnect(self, *, gone: bool) -> None:
        """See `RequestSide.disconnect`. A call that waits between two pieces learns of it at the next."""
        super().disconnect(gone=gone)
        told = self._channel or self._conversation
        if gone and told is not None:
            told.on_client_gone()

    def cancel(self) -> None:
        """Cuts the call off: what comes of it is nobody's."""
        super().cancel()
        if self.task is None:
            self._end_once()

    # Called through `post`.

    def finish(self, answer: Answer) -> None:
        """See `Port`."""
        if self._has_ended:
            return
        if self.phase == AWAITED:
            try:
                self._start(answer.start)
                if self._is_plain and len(answer.body) <= LARGE_BODY:
                    self._send_whole(answer.body)
                else:
                    self._send_part(answer.body, more=False)
            except Exception as error:
                self._on_app_error(error)
        self._end_once()

    def open(self, channel: Channel) -> None:
        """See `Port`."""
        self._channel = channel
        if self._has_ended or self.phase == GONE:
            channel.break_off()
        if not self._has_ended:
            self._start_task(channel.serve(self.receive, self.send, watches=False))

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
        task = self.state.start_task(self._see_through(work))
        if not task.done():
            self.task = task

    async def _see_through(self, work: Awaitable[bool]) -> None:
        """Awaits what returns whether the response is complete, and sees to what is left undone."""
        try:
            if not await work:
                self._fail()
        except GeneratorExit:
            raise
        except BaseException as error:
            self._on_app_error(error)
        self._end_once()

    async def _send_open_file(self, start: Message, file: OpenFile) -> bool:
        with file.file:
            await self.send(start)
            await self._send_file(file.file, file.offset, file.size)
        return True

    def _end_once(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self.state.exchanges.discard(self)
            self._end()


class LoggedWSGIExchange(WSGIExchange, LoggedExchange):
    """A request in flight whose response is timed and measured, and whose environ may be asked for."""

    @property
    def environ_names(self) -> Sequence[str]:  # type: ignore[override]
        """See `Port`."""
        return self._format.environ_names

    def _start(self, message: Message) -> None:
        self._environ = message.get(ENVIRON, ())
        super()._start(message)
