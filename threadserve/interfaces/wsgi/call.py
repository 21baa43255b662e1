"""One call of a WSGI application, as PEP 3333 has it.

Runs on the pool thread that took the job, and belongs to it, but for `give_up_threadsafe`. It never touches a loop:
what it has to say goes to a `Port` through `post`.
"""

import contextvars
import logging
import reprlib
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from math import inf
from time import monotonic
from types import TracebackType
from typing import Any, BinaryIO, Protocol, cast

from threadserve.errors import ClientDisconnected, MailboxClosed
from threadserve.http.fields import CONTENT_LENGTH, UNDECLARED
from threadserve.interfaces.wsgi.answers import FAILED, GIVEN_UP, Answer
from threadserve.interfaces.wsgi.body import Collected, input_stream
from threadserve.interfaces.wsgi.channel import Channel, Post
from threadserve.interfaces.wsgi.environ import EnvironMaker, values_of
from threadserve.interfaces.wsgi.fields import KnownFields
from threadserve.interfaces.wsgi.file_wrapper import FileWrapper, OpenFile
from threadserve.logging.access_format import ENVIRON
from threadserve.types import Message, Scope

logger = logging.getLogger("threadserve.error")

# A finished result up to this size goes to the loop at once, and its thread is free; more is held by the thread.
FINISHED_LIMIT = 1024 * 1024
# No body is sent with these, nor to HEAD, whatever the application returns (RFC 9110 section 6.4.1).
BODYLESS = frozenset({204, 304})

WSGIApp = Callable[..., Iterable[bytes]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType]


class Answers(Protocol):
    """Where a port's loop takes whole responses, several at a time."""

    def answer_threadsafe(self, finish: Callable[[Answer], None], answer: Answer) -> bool:
        """Has `finish(answer)` called on the loop; returns whether `wake_threadsafe` must follow before long."""
        ...

    def wake_threadsafe(self) -> None:
        """Has the loop take the answers there are."""
        ...


class Port(Protocol):
    """The loop's side of a call. What `post` is given is called on the loop's thread, in order.

    `environ_names` are variables that the access log wants: the head of the response brings their values as `ENVIRON`.
    """

    post: Post
    sends_files: bool
    environ_names: Sequence[str]
    answers: Answers | None

    def finish(self, answer: Answer) -> None:
        """The whole response."""
        ...

    def open(self, channel: Channel) -> None:
        """The call goes on over this channel."""
        ...

    def send_file(self, start: Message, file: OpenFile) -> None:
        """A response whose body is a file, to be closed then. Called only where `sends_files`."""
        ...

    def give_up(self, answer: Answer) -> None:
        """The call does not come back: this is the answer where there is none yet."""
        ...


class Memory:
    """What a pool thread keeps from call to call: the application, what it has learnt about headers, and which loop is
    still to be woken for how many answers (see `pool.Memory`).
    """

    def __init__(self, app: WSGIApp, is_multiprocess: bool) -> None:
        self.app = app
        self.environs = EnvironMaker(is_multiprocess)
        self.fields = KnownFields()
        self.owed = 0
        self._debtor: Answers | None = None

    def owe(self, answers: Answers) -> None:
        """Notes that an answer is not on its way yet."""
        if self._debtor is not answers:
            self.settle()
            self._debtor = answers
        self.owed += 1

    def settle(self) -> None:
        """See `pool.Memory`."""
        debtor, self._debtor, self.owed = self._debtor, None, 0
        if debtor is not None:
            try:
                debtor.wake_threadsafe()
            except (MailboxClosed, RuntimeError):
                # The loop has ended, and the clients' connections with it.
                return


class Call:
    """A request on its way through an application; `body` is None where it has none.

    `since` is for the pool, which sets it when the call begins: infinite while the client is waited for.
    """

    __slots__ = (
        "_body", "_channel", "_declared", "_environ", "_is_begun", "_is_finished", "_is_too_long", "_memory", "_scope",
        "_sent", "_start", "port", "since",
    )  # fmt: skip

    def __init__(self, port: Port, scope: Scope, body: Collected | None) -> None:
        self.since = inf
        self.port = port
        self._scope = scope
        self._body = body
        self._start: Message | None = None
        self._environ: dict[str, Any] | None = None
        self._declared = UNDECLARED
        self._channel: Channel | None = None
        self._is_begun = False
        self._is_finished = False
        self._is_too_long = False
        self._sent = 0

    def __str__(self) -> str:
        return f"{self._scope['method']} {self._scope['path']}"

    def give_up_threadsafe(self) -> None:
        """See `Job`: answers 504 if nothing has been answered."""
        try:
            self.port.post(self.port.give_up, GIVEN_UP)
        except (MailboxClosed, RuntimeError):
            return

    def run(self, memory: Memory) -> None:
        """See `Job`. Each call has a context of its own, in which what it raises is logged; the answer then is 500.

        That goes for `SystemExit` and `KeyboardInterrupt` too, which would end nothing but this thread.
        """
        file = BytesIO() if self._body is None else self._body.file
        context = contextvars.Context()
        try:
            context.run(self._run, memory, file)
        except ClientDisconnected:
            self._fail()
        except BaseException as error:
            context.run(logger.error, "Exception in WSGI application", exc_info=error)
            self._fail()
        finally:
            file.close()

    def _run(self, memory: Memory, file: BinaryIO) -> None:
        self._memory = memory
        length = None
        body = self._body
        if body is not None:
            length = None if body.more else body.size
            file = input_stream(body, self._read_more)
        environ = memory.environs.make(self._scope, file, length)
        if self.port.environ_names:
            self._environ = environ
        result = memory.app(environ, self.start_response)
        try:
            self._respond(result)
        finally:
            # Lists are what most return, and have none.
            close = None if type(result) is list else getattr(result, "close", None)
            if close is not None:
                close()

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """What the application gets (PEP 3333, "The start_response() Callable"). Returns `write`.

        Raises what `exc_info` holds when the head is out, `AssertionError` for a second call without it, `ValueError`
        and `TypeError` for a status or headers that cannot be sent.
        """
        if exc_info is not None:
            try:
                if self._is_begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._start is not None:
            raise AssertionError("start_response was called a second time, without exc_info")
        known = self._memory.fields
        fields, declared = known.fields(headers)
        code = known.status(status)
        self._declared = declared
        self._start = {"type": "http.response.start", "status": code, "headers": fields}
        return self.write

    def write(self, data: bytes) -> None:
        """Sends a piece of the body (PEP 3333, "The write() Callable"). Raises `ClientDisconnected`."""
        if data:
            self._stream(plain(data))

    # Responses.

    def _respond(self, result: Iterable[bytes]) -> None:
        if type(result) is list or type(result) is tuple:
            pieces = cast("list[bytes]", result)
            self._finish_or_stream(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        elif type(result) is not FileWrapper:
            self._iterate(result)
        elif not self._send_file(result):
            # A file may have grown since the application looked at its size.
            self._iterate(result if self._declared < 0 else result.beginning(self._declared))

    def _finish_or_stream(self, body: bytes) -> None:
        """Sends what is there as a whole, and all that there is."""
        if type(body) is not bytes:
            body = plain(body)
        if not self._is_begun and len(body) <= FINISHED_LIMIT:
            self._finish(body)
            return
        if body:
            self._declare(len(body))
            self._stream(body)
        self._end()

    def _declare(self, size: int) -> None:
        """Adds the length of a whole body to a head that has none and is not out yet."""
        if not self._is_begun and self._declared < 0:
            self._started()["headers"].append((CONTENT_LENGTH, b"%d" % size))

    def _iterate(self, result: Iterable[bytes]) -> None:
        """Sends the pieces as they come (PEP 3333, "Buffering and Streaming"): none waits for the next.

        No piece is asked for behind one that is not sent, nor once the client has gone. Pieces without bytes, but for
        the first, are those of an application that waits for something, and would rather not when nobody else does.
        """
        has_waited = False
        for piece in result:
            if not piece:
                if has_waited and not self._is_finished:
                    self._open_channel().check_threadsafe()
                has_waited = True
                continue
            if self._is_finished:
                self._report_excess()
            elif not self._is_begun and len(piece) == self._declared <= FINISHED_LIMIT:
                self._finish(plain(piece))
            else:
                self._stream(plain(piece))
            if self._is_too_long or self._is_bodyless:
                break
        if self._is_begun:
            self._end()
        elif not self._is_finished:
            self._finish(b"")

    def _send_file(self, wrapper: FileWrapper) -> bool:
        """Hands a file over, and with it the waiting for the client, where that can be done."""
        if self._is_begun or self._channel is not None or not self.port.sends_files:
            return False
        file = wrapper.open_again()
        if file is None:
            return False
        start = self._outgoing()
        if 0 <= self._declared < file.size:
            file = file._replace(size=self._declared)
        elif self._declared > file.size and not self._is_bodyless:
            file.file.close()
            return False
        self._is_finished = True
        try:
            self._post(self.port.send_file, start, file)
        except ClientDisconnected:
            file.file.close()
            raise
        return True

    def _started(self) -> Message:
        if self._start is None:
            raise AssertionError("the application sent a body, or ended, without calling start_response")
        return self._start

    def _outgoing(self) -> Message:
        """The head as it goes to the loop."""
        start = self._started()
        if self._environ is not None:
            start[ENVIRON] = values_of(self.port.environ_names, self._environ)
        return start

    @property
    def _is_bodyless(self) -> bool:
        return self._scope["method"] == "HEAD" or self._started()["status"] in BODYLESS

    def _finish(self, body: bytes) -> None:
        """Sends the whole response at once, which leaves this thread free."""
        start = self._outgoing()
        if self._declared >= 0 and self._declared != len(body) and not self._is_bodyless:
            body = self._fitting(body)
            if len(body) < self._declared:
                self._stream_from(start, body)
                self._end()
                return
        self._is_finished = True
        if self._channel is None:
            self._answer(Answer(start, body))
            return
        if body:
            self._declare(len(body))
        self._channel.start_threadsafe(start)
        if body:
            self._channel.write_threadsafe(body)
        self._channel.end_threadsafe()

    def _answer(self, answer: Answer) -> None:
        port = self.port
        answers = port.answers
        if answers is None:
            self._post(port.finish, answer)
            return
        try:
            is_owed = answers.answer_threadsafe(port.finish, answer)
        except (MailboxClosed, RuntimeError):
            raise ClientDisconnected("the loop has ended, and its connections with it") from None
        if is_owed:
            self._memory.owe(answers)

    def _stream(self, piece: bytes) -> None:
        start = self._started() if self._is_begun else self._outgoing()
        if self._declared >= 0 and not self._is_bodyless:
            piece = self._fitting(piece)
            if not piece and self._is_begun:
                return
        self._stream_from(start, piece)

    def _stream_from(self, start: Message, piece: bytes) -> None:
        channel = self._open_channel()
        if not self._is_begun:
            self._is_begun = True
            channel.start_threadsafe(start)
        self.since = inf
        channel.write_threadsafe(piece)
        self.since = monotonic()

    def _fitting(self, piece: bytes) -> bytes:
        """As much of a piece as the declared length leaves room for."""
        room = self._declared - self._sent
        if len(piece) > room:
            self._report_excess()
            piece = piece[:room]
        self._sent += len(piece)
        return piece

    def _report_excess(self) -> None:
        """Logs, once, that there is more of a body than its declared length."""
        if not self._is_too_long and not self._is_bodyless:
            self._is_too_long = True
            logger.error(
                "Response content longer than Content-Length: %s declared %d bytes, and the rest is not sent.",
                self, self._declared,
            )  # fmt: skip

    def _end(self) -> None:
        """Ends a response that is under way; one that is shorter than it should be by ending the connection."""
        self._is_finished = True
        is_short = self._sent < self._declared and not self._is_bodyless
        if is_short:
            logger.error(
                "Response content shorter than Content-Length: %s declared %d bytes and gave %d. The connection ends.",
                self, self._declared, self._sent,
            )  # fmt: skip
        self._open_channel().end_threadsafe(failed=is_short)

    def _fail(self) -> None:
        """Ends the call with 500 where nothing was sent, else with a response that stays incomplete."""
        if self._is_finished:
            return
        self._is_finished = True
        if self._is_begun:
            self._open_channel().end_threadsafe(failed=True)
            return
        self._start = {**FAILED.start, "headers": [*FAILED.start["headers"]]}
        self._declared = UNDECLARED
        try:
            self._finish(FAILED.body)
        except ClientDisconnected:
            return

    # The way to the loop.

    def _read_more(self) -> bytes:
        self.since = inf
        more = self._open_channel().read_threadsafe()
        self.since = monotonic()
        return more

    def _open_channel(self) -> Channel:
        if self._channel is None:
            self._channel = Channel(self.port.post, body_follows=self._body is not None and self._body.more)
            self._post(self.port.open, self._channel)
        return self._channel

    def _post(self, call: Callable[..., object], *args: Any) -> None:
        try:
            self.port.post(call, *args)
        except (MailboxClosed, RuntimeError):
            raise ClientDisconnected("the loop has ended, and its connections with it") from None


def plain(piece: Any) -> bytes:
    """A piece of a body as bytes, of which it may be a subclass, or another object with a buffer of them."""
    if type(piece) is bytes:
        return piece
    try:
        return memoryview(piece).tobytes()
    except TypeError:
        raise TypeError(f"a WSGI application's body is made of bytes, not of {reprlib.repr(piece)}") from None
