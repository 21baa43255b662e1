"""One call of a WSGI application, as PEP 3333 has it.

Runs on the pool thread that took it, and belongs to that, but for `give_up_threadsafe`. It never touches a loop:
what it has to say goes to a `ResponseSink`.
"""

import contextvars
import logging
import reprlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from io import BytesIO
from math import inf
from time import monotonic
from types import TracebackType
from typing import Any, BinaryIO, cast

from threadserve.errors import ClientDisconnected, MailboxClosed
from threadserve.http.fields import LENGTH_UNKNOWN
from threadserve.http.head import ResponseHead
from threadserve.wsgi.body import Collected, input_stream
from threadserve.wsgi.environ import EnvironMaker, values_of
from threadserve.wsgi.file_wrapper import FileWrapper
from threadserve.wsgi.parcel import Parcel
from threadserve.wsgi.response import BUSY, BUSY_TEXT, FAILED, FAILED_TEXT, KnownLines
from threadserve.wsgi.sink import Channel, Environ, ResponseSink, Sleeper

logger = logging.getLogger("threadserve.error")

# A finished result up to this size goes to the loop at once, and its thread is free; more is held by the thread.
FINISHED_LIMIT = 1024 * 1024
WSGIApp = Callable[..., Iterable[bytes]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType]


class ThreadCache:
    """What a pool thread keeps from call to call: the application, and what it has learnt about headers.

    `since` is the monotonic time from which it counts how long the call at hand takes: infinite while the client is
    waited for. `owed` counts the responses that a loop has not been woken for yet.
    """

    __slots__ = ("_debtor", "app", "environs", "lines", "owed", "since")

    def __init__(self, app: WSGIApp, is_multiprocess: bool) -> None:
        self.app = app
        self.environs = EnvironMaker(is_multiprocess)
        self.lines = KnownLines()
        self.since = inf
        self.owed = 0
        self._debtor: Sleeper | None = None

    def owe(self, debtor: Sleeper) -> None:
        """Notes that a loop is to be woken for a response, or for another."""
        if self._debtor is not debtor:
            self.settle()
            self._debtor = debtor
        self.owed += 1

    def settle(self) -> None:
        """Wakes the loop for the responses that it is owed. Raises nothing."""
        debtor, self._debtor, self.owed = self._debtor, None, 0
        if debtor is not None:
            try:
                debtor.wake_threadsafe()
            except (MailboxClosed, RuntimeError):
                # The loop has ended, and the clients' connections with it.
                return


class Call(Parcel):
    """A request on its way through an application; `body` is None where it has none.

    The loop makes it and gets it back, with the whole response packed, where there is one: so each thread lets go of
    what it has made itself.
    """

    __slots__ = (
        "_body", "_cache", "_channel", "_closes", "_environ", "_head", "_is_begun", "_is_finished", "_is_head",
        "_is_too_long", "_length", "_replaces", "_scope", "_sent", "_status", "_told", "sink",
    )  # fmt: skip

    def __init__(self, sink: ResponseSink, scope: dict[str, Any], body: Collected | None) -> None:
        super().__init__()
        self.sink = sink
        self._scope = scope
        self._body = body
        self._is_head = scope["method"] == "HEAD"
        self._head: ResponseHead | None = None
        self._environ: dict[str, Any] | None = None
        self._length = LENGTH_UNKNOWN
        self._channel: Channel | None = None
        self._is_begun = False
        self._is_finished = False
        self._is_too_long = False
        self._sent = 0

    def __str__(self) -> str:
        return f"{self._scope['method']} {self._scope['path']}"

    def give_up_threadsafe(self) -> None:
        """Answers 504 in place of a call that does not come back, if nothing has been answered."""
        try:
            self.sink.post_threadsafe(self.sink.give_up)
        except ClientDisconnected:
            return

    def deliver(self) -> None:
        """Has the response go out, on the loop's thread."""
        head = ResponseHead(self._status, self.first(), self._length, self._closes, self._replaces)
        self.sink.respond(head, self.second(), self._told)

    def refuse(self) -> None:
        """Answers 503 on the loop's thread, in place of a call that is not made."""
        self.drop_body()
        self.sink.respond(BUSY, BUSY_TEXT, ())

    def drop_body(self) -> None:
        """Lets go of the request's body, of a call that is not made."""
        if self._body is not None:
            self._body.file.close()

    def run(self, cache: ThreadCache) -> None:
        """Makes the call, on a pool thread. Raises nothing.

        Each call has a context of its own, in which what it raises is logged; the answer then is 500. That goes for
        `SystemExit` and `KeyboardInterrupt` too, which would end nothing but this thread.
        """
        file = BytesIO() if self._body is None else self._body.file
        context = contextvars.Context()
        try:
            context.run(self._run, cache, file)
        except ClientDisconnected:
            self._fail()
        except BaseException as error:
            report(context, "Exception in WSGI application", error)
            self._fail()
        try:
            file.close()
        except Exception as error:
            report(context, "The body of a request could not be closed", error)
        self._head = self._environ = self._channel = None

    def _run(self, cache: ThreadCache, file: BinaryIO) -> None:
        self._cache = cache
        length = None
        body = self._body
        if body is not None:
            length = None if body.more else body.size
            file = input_stream(body, self._read_more)
        environ = cache.environs.make(self._scope, file, length, self.sink.adds_root_path)
        if self.sink.environ_names:
            self._environ = environ
        result = cache.app(environ, self.start_response)
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
                if self._is_begun or self._is_finished:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._head is not None:
            raise AssertionError("start_response was called a second time, without exc_info")
        self._take_head(self._cache.lines.head(status, headers))
        return self.write

    def write(self, data: bytes) -> None:
        """Sends a piece of the body (PEP 3333, "The write() Callable"). Raises `ClientDisconnected`."""
        if data and self._is_finished:
            self._report_excess()
        elif data:
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
            self._iterate(result if self._length < 0 else result.beginning(self._length))

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

    def _take_head(self, head: ResponseHead) -> None:
        self._head = head
        self._length = head.length

    def _declare(self, size: int) -> None:
        """Adds the length of a whole body to a head that has none and is not out yet."""
        head = self._started()
        if not self._is_begun and head.length < 0 and head.status != 204:
            head.text += b"content-length: %d\r\n" % size
            head.length = size

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
            elif not self._is_begun and len(piece) == self._length <= FINISHED_LIMIT:
                self._finish(plain(piece))
            else:
                self._stream(plain(piece))
            if self._is_too_long or self._is_bodyless():
                break
        if self._is_begun:
            self._end()
        elif not self._is_finished:
            self._finish(b"")

    def _send_file(self, wrapper: FileWrapper) -> bool:
        """Hands a file over, and with it the waiting for the client, where that can be done."""
        head = self._started()
        if self._is_begun or self._channel is not None or not self.sink.sends_files:
            return False
        file = wrapper.open_again()
        if file is None:
            return False
        if 0 <= self._length < file.size:
            file = file._replace(size=self._length)
        elif self._length > file.size and not self._is_bodyless():
            file.file.close()
            return False
        told = self._values()
        self._is_finished = True
        try:
            self.sink.post_threadsafe(self.sink.send_file, head, file, told)
        except ClientDisconnected:
            file.file.close()
            raise
        return True

    def _started(self) -> ResponseHead:
        if self._head is None:
            raise AssertionError("the application sent a body, or ended, without calling start_response")
        return self._head

    def _values(self) -> Environ:
        """What the access log is told of the environ, as it is when the response begins."""
        return () if self._environ is None else values_of(self.sink.environ_names, self._environ)

    def _is_bodyless(self) -> bool:
        """Whether no body is sent, whatever the application returns (RFC 9110 section 6.4.1)."""
        status = self._started().status
        return self._is_head or status == 204 or status == 304

    def _finish(self, body: bytes) -> None:
        """Sends the whole response at once, which leaves this thread free."""
        head = self._started()
        if self._length >= 0 and self._length != len(body) and not self._is_bodyless():
            body = self._fitting(body)
            if len(body) < self._length:
                self._stream_from(head, body)
                self._end()
                return
        told = self._values()
        channel = self._channel
        if channel is None:
            self._pack(head, body, told)
            self._is_finished = True
            sleeper = self.sink.respond_threadsafe(self)
            if sleeper is not None:
                self._cache.owe(sleeper)
            return
        self._is_finished = True
        if body:
            self._declare(len(body))
        channel.start_threadsafe(head, told)
        if body:
            channel.write_threadsafe(body)
        channel.end_threadsafe()

    def _pack(self, head: ResponseHead, body: bytes, told: Environ) -> None:
        self.pack(head.text, body)
        self._status = head.status
        self._length = head.length
        self._closes = head.closes_connection
        self._replaces = head.replaced_fields
        self._told = told

    def _stream(self, piece: bytes) -> None:
        head = self._started()
        if self._length >= 0 and not self._is_bodyless():
            piece = self._fitting(piece)
            if not piece and self._is_begun:
                return
        self._stream_from(head, piece)

    def _stream_from(self, head: ResponseHead, piece: bytes) -> None:
        channel = self._open_channel()
        if not self._is_begun:
            self._is_begun = True
            channel.start_threadsafe(head, self._values())
        self._cache.since = inf
        channel.write_threadsafe(piece)
        self._cache.since = monotonic()

    def _fitting(self, piece: bytes) -> bytes:
        """As much of a piece as the declared length leaves room for."""
        room = self._length - self._sent
        if len(piece) > room:
            self._report_excess()
            piece = piece[:room]
        self._sent += len(piece)
        return piece

    def _report_excess(self) -> None:
        """Logs, once, that there is more of a body than its declared length."""
        if not self._is_too_long and not self._is_bodyless():
            self._is_too_long = True
            if self._length < 0:
                logger.error("Response content after the response was complete: %s. It is not sent.", self)
                return
            logger.error(
                "Response content longer than Content-Length: %s declared %d bytes, and the rest is not sent.",
                self, self._length,
            )  # fmt: skip

    def _end(self) -> None:
        """Ends a response that is under way; one that is shorter than it should be by ending the connection."""
        self._is_finished = True
        is_short = self._sent < self._length and not self._is_bodyless()
        if is_short:
            logger.error(
                "Response content shorter than Content-Length: %s declared %d bytes and gave %d. The connection ends.",
                self, self._length, self._sent,
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
        self._take_head(
            ResponseHead(FAILED.status, FAILED.text, FAILED.length, FAILED.closes_connection, FAILED.replaced_fields)
        )
        try:
            self._finish(FAILED_TEXT)
        except ClientDisconnected:
            return

    # The way to the loop.

    def _read_more(self) -> bytes:
        self._cache.since = inf
        more = self._open_channel().read_threadsafe()
        self._cache.since = monotonic()
        return more

    def _open_channel(self) -> Channel:
        if self._channel is None:
            self._channel = Channel(self.sink.post, body_follows=self._body is not None and self._body.more)
            self.sink.post_threadsafe(self.sink.open, self._channel)
        return self._channel


def report(context: contextvars.Context, text: str, error: BaseException) -> None:
    """Logs an error in a call's context. Raises nothing: a filter of the log may fail as well, and cost a thread."""
    with suppress(Exception):
        context.run(logger.error, text, exc_info=error)


def plain(piece: Any) -> bytes:
    """A piece of a body as bytes, of which it may be a subclass, or another object with a buffer of them."""
    if type(piece) is bytes:
        return piece
    try:
        return memoryview(piece).tobytes()
    except TypeError:
        raise TypeError(f"a WSGI application's body is made of bytes, not of {reprlib.repr(piece)}") from None
