"""One call of a WSGI application (PEP 3333).

Runs on the pool thread that took the call and belongs to it, except for `abandon_threadsafe`. It never touches a loop:
the response goes to a `ResponseSink`.
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
from typing import BinaryIO

from threadserve.errors import ClientDisconnected, MailboxClosed
from threadserve.http.fields import LENGTH_UNKNOWN
from threadserve.http.head import ResponseHead
from threadserve.types import ConnectionScope, Environ
from threadserve.wsgi.body import CollectedBody, make_input_stream
from threadserve.wsgi.environ import EnvironBuilder, environ_values_of
from threadserve.wsgi.file_wrapper import FileWrapper
from threadserve.wsgi.response import (
    INTERNAL_ERROR_BODY,
    INTERNAL_ERROR_HEAD,
    UNAVAILABLE_BODY,
    UNAVAILABLE_HEAD,
    HeadFormatter,
)
from threadserve.wsgi.response_buffer import ResponseBuffer
from threadserve.wsgi.sink import Channel, EnvironValues, ResponseSink, Wakeable

logger = logging.getLogger("threadserve.error")

# A whole response up to this size goes to the loop at once, which frees the pool thread; a larger one is streamed.
MAX_WHOLE_BYTES = 1024 * 1024
WSGIApp = Callable[..., Iterable[bytes]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType]


class ThreadCache:
    """The objects that a pool thread keeps from call to call: the application, and its caches of names and lines.

    `counting_since` is the monotonic time from which the duration of the current call is counted; it is infinite while
    the call waits for its client. `pending_responses` counts the responses that a loop has not been woken for yet.
    """

    __slots__ = ("_wakeup_target", "app", "counting_since", "environs", "heads", "pending_responses")

    def __init__(self, app: WSGIApp, is_multiprocess: bool) -> None:
        self.app = app
        self.environs = EnvironBuilder(is_multiprocess)
        self.heads = HeadFormatter()
        self.counting_since = inf
        self.pending_responses = 0
        self._wakeup_target: Wakeable | None = None

    def note_response(self, target: Wakeable) -> None:
        """Note that a loop has to be woken for one more response."""
        if self._wakeup_target is not target:
            self.flush_wakeup()
            self._wakeup_target = target
        self.pending_responses += 1

    def flush_wakeup(self) -> None:
        """Wake the loop for its pending responses. Raises nothing."""
        target, self._wakeup_target, self.pending_responses = self._wakeup_target, None, 0
        if target is not None:
            try:
                target.wake_threadsafe()
            except (MailboxClosed, RuntimeError):
                # The loop has ended, and its connections with it.
                return


class Call(ResponseBuffer):
    """A request on its way through an application; `body` is None where the request has none.

    The loop makes the call and gets it back with the whole response packed, if the response is whole. So each thread
    frees the objects that it made itself.
    """

    __slots__ = (
        "_body",
        "_cache",
        "_channel",
        "_closes_connection",
        "_environ",
        "_environ_values",
        "_head",
        "_is_excess_logged",
        "_is_finished",
        "_is_head",
        "_is_streaming",
        "_length",
        "_replaced_defaults",
        "_scope",
        "_sent",
        "_status",
        "sink",
    )

    def __init__(self, sink: ResponseSink, scope: ConnectionScope, body: CollectedBody | None) -> None:
        super().__init__()
        self.sink = sink
        self._scope = scope
        self._body = body
        self._is_head = scope["method"] == "HEAD"
        self._head: ResponseHead | None = None
        self._environ: Environ | None = None
        self._length = LENGTH_UNKNOWN
        self._channel: Channel | None = None
        self._is_streaming = False
        self._is_finished = False
        self._is_excess_logged = False
        self._sent = 0

    def __str__(self) -> str:
        return f"{self._scope['method']} {self._scope['path']}"

    def abandon_threadsafe(self) -> None:
        """Answer 504 in place of a call that has timed out, if nothing has been sent."""
        try:
            self.sink.post_threadsafe(self.sink.abandon)
        except ClientDisconnected:
            return

    def deliver(self) -> None:
        """Send the packed response, on the loop's thread."""
        head = ResponseHead(
            self._status, self.packed_head(), self._length, self._closes_connection, self._replaced_defaults
        )
        self.sink.respond(head, self.packed_body(), self._environ_values)

    def refuse(self) -> None:
        """Answer 503 in place of a call that is not made, on the loop's thread."""
        self.close_body()
        self.sink.respond(UNAVAILABLE_HEAD, UNAVAILABLE_BODY, ())

    def close_body(self) -> None:
        """Close the request's body, for a call that is not made."""
        if self._body is not None:
            self._body.file.close()

    def run(self, cache: ThreadCache) -> None:
        """Make the call, on a pool thread. Raises nothing.

        Each call has a context of its own; errors are logged in it and answered with 500. This includes `SystemExit`
        and `KeyboardInterrupt`, which would end no more than this thread.
        """
        file = BytesIO() if self._body is None else self._body.file
        context = contextvars.Context()
        try:
            context.run(self._call_app, cache, file)
        except ClientDisconnected:
            self._fail()
        except BaseException as error:
            log_in_context(context, "Exception in WSGI application", error)
            self._fail()
        try:
            file.close()
        except Exception as error:
            log_in_context(context, "The body of a request could not be closed", error)
        self._head = self._environ = self._channel = None

    def _call_app(self, cache: ThreadCache, file: BinaryIO) -> None:
        self._cache = cache
        length = None
        body = self._body
        if body is not None:
            length = None if body.more else body.size
            file = make_input_stream(body, self._read_more)
        environ = cache.environs.build(self._scope, file, length, self.sink.adds_root_path)
        if self.sink.environ_names:
            self._environ = environ
        result = cache.app(environ, self.start_response)
        try:
            self._respond(result)
        finally:
            # Lists, the most frequent result, have no `close`.
            close = None if type(result) is list else getattr(result, "close", None)
            if close is not None:
                close()

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """Take the response's status and headers, and return `write` (PEP 3333, "The start_response() Callable").

        Raises the error in `exc_info` when the head has been sent, `AssertionError` for a second call without
        `exc_info`, and `ValueError` or `TypeError` for a status or headers that cannot be sent.
        """
        if exc_info is not None:
            try:
                if self._is_streaming or self._is_finished:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._head is not None:
            raise AssertionError("start_response was called a second time, without exc_info")
        self._set_head(self._cache.heads.format_head(status, headers))
        return self.write

    def write(self, data: bytes) -> None:
        """Send a piece of the body (PEP 3333, "The write() Callable"). Raises `ClientDisconnected`."""
        if data and self._is_finished:
            self._log_excess()
        elif data:
            self._stream_piece(to_bytes(data))

    # The response.

    def _respond(self, result: Iterable[bytes]) -> None:
        if type(result) is list or type(result) is tuple:
            self._send_whole_or_stream(result[0] if len(result) == 1 else b"".join(result))
        elif type(result) is not FileWrapper:
            self._stream_pieces(result)
        elif not self._send_file(result):
            # A file may have grown since the application looked at its size.
            self._stream_pieces(result if self._length < 0 else result.read_first(self._length))

    def _send_whole_or_stream(self, body: bytes) -> None:
        """Send the body, which is complete: as a whole with its head, or as a stream where it is large."""
        if type(body) is not bytes:
            body = to_bytes(body)
        if not self._is_streaming and len(body) <= MAX_WHOLE_BYTES:
            self._send_whole(body)
            return
        if body:
            self._declare_length(len(body))
            self._stream_piece(body)
        self._end_stream()

    def _set_head(self, head: ResponseHead) -> None:
        self._head = head
        self._length = head.length

    def _declare_length(self, size: int) -> None:
        """Add the length of a whole body to a head that declares none and has not been sent."""
        head = self._require_head()
        if not self._is_streaming and head.length < 0 and head.status != 204:
            head.text += b"content-length: %d\r\n" % size
            head.length = size

    def _stream_pieces(self, result: Iterable[bytes]) -> None:
        """Send the pieces as they come, none waiting for the next (PEP 3333, "Buffering and Streaming").

        No further piece is asked for after one that cannot be sent, or once the client has gone. An application that
        yields empty pieces is waiting for something: from the second on, each checks whether the client is still there.
        """
        has_waited = False
        for piece in result:
            if not piece:
                if has_waited and not self._is_finished:
                    self._open_channel().check_connected_threadsafe()
                has_waited = True
                continue
            if self._is_finished:
                self._log_excess()
            elif not self._is_streaming and len(piece) == self._length <= MAX_WHOLE_BYTES:
                self._send_whole(to_bytes(piece))
            else:
                self._stream_piece(to_bytes(piece))
            if self._is_excess_logged or self._is_bodyless():
                break
        if self._is_streaming:
            self._end_stream()
        elif not self._is_finished:
            self._send_whole(b"")

    def _send_file(self, wrapper: FileWrapper) -> bool:
        """Leave a file to the loop, so that this thread need not wait for the client; return whether that is done."""
        head = self._require_head()
        if self._is_streaming or self._channel is not None or not self.sink.can_send_files:
            return False
        file = wrapper.duplicate_file()
        if file is None:
            return False
        if 0 <= self._length < file.size:
            file = file._replace(size=self._length)
        elif self._length > file.size and not self._is_bodyless():
            file.file.close()
            return False
        environ_values = self._access_log_values()
        self._is_finished = True
        try:
            self.sink.post_threadsafe(self.sink.send_file, head, file, environ_values)
        except ClientDisconnected:
            file.file.close()
            raise
        return True

    def _require_head(self) -> ResponseHead:
        if self._head is None:
            raise AssertionError("the application sent a body, or ended, without calling start_response")
        return self._head

    def _access_log_values(self) -> EnvironValues:
        """Return the environ variables that the access log names, as they are when the response starts."""
        return () if self._environ is None else environ_values_of(self.sink.environ_names, self._environ)

    def _is_bodyless(self) -> bool:
        """Return whether no body is sent, whatever the application returns (RFC 9110 section 6.4.1)."""
        status = self._require_head().status
        return self._is_head or status == 204 or status == 304

    def _send_whole(self, body: bytes) -> None:
        """Send the whole response at once, which frees this thread."""
        head = self._require_head()
        if self._length >= 0 and self._length != len(body) and not self._is_bodyless():
            body = self._cut_to_length(body)
            if len(body) < self._length:
                self._write_to_channel(head, body)
                self._end_stream()
                return
        environ_values = self._access_log_values()
        channel = self._channel
        if channel is None:
            self._pack(head, body, environ_values)
            self._is_finished = True
            wakeable = self.sink.complete_threadsafe(self)
            if wakeable is not None:
                self._cache.note_response(wakeable)
            return
        self._is_finished = True
        if body:
            self._declare_length(len(body))
        channel.start_threadsafe(head, environ_values)
        if body:
            channel.write_threadsafe(body)
        channel.end_threadsafe()

    def _pack(self, head: ResponseHead, body: bytes, environ_values: EnvironValues) -> None:
        self.pack(head.text, body)
        self._status = head.status
        self._length = head.length
        self._closes_connection = head.closes_connection
        self._replaced_defaults = head.replaced_fields
        self._environ_values = environ_values

    def _stream_piece(self, piece: bytes) -> None:
        head = self._require_head()
        if self._length >= 0 and not self._is_bodyless():
            piece = self._cut_to_length(piece)
            if not piece and self._is_streaming:
                return
        self._write_to_channel(head, piece)

    def _write_to_channel(self, head: ResponseHead, piece: bytes) -> None:
        channel = self._open_channel()
        if not self._is_streaming:
            self._is_streaming = True
            channel.start_threadsafe(head, self._access_log_values())
        self._cache.counting_since = inf
        channel.write_threadsafe(piece)
        self._cache.counting_since = monotonic()

    def _cut_to_length(self, piece: bytes) -> bytes:
        """Return as much of a piece as the declared length leaves room for."""
        room = self._length - self._sent
        if len(piece) > room:
            self._log_excess()
            piece = piece[:room]
        self._sent += len(piece)
        return piece

    def _log_excess(self) -> None:
        """Log, once, that a body is longer than its declared length."""
        if not self._is_excess_logged and not self._is_bodyless():
            self._is_excess_logged = True
            if self._length < 0:
                logger.error("Response content after the response was complete: %s. It is not sent.", self)
                return
            logger.error(
                "Response content longer than Content-Length: %s declared %d bytes, and the rest is not sent.",
                self, self._length,
            )  # fmt: skip

    def _end_stream(self) -> None:
        """End a streamed response; end the connection too if the body is shorter than declared."""
        self._is_finished = True
        is_short = self._sent < self._length and not self._is_bodyless()
        if is_short:
            logger.error(
                "Response content shorter than Content-Length: %s declared %d bytes and gave %d. The connection ends.",
                self, self._length, self._sent,
            )  # fmt: skip
        self._open_channel().end_threadsafe(failed=is_short)

    def _fail(self) -> None:
        """End the call with 500 where nothing has been sent, else with an incomplete response."""
        if self._is_finished:
            return
        self._is_finished = True
        if self._is_streaming:
            self._open_channel().end_threadsafe(failed=True)
            return
        self._set_head(
            ResponseHead(
                INTERNAL_ERROR_HEAD.status,
                INTERNAL_ERROR_HEAD.text,
                INTERNAL_ERROR_HEAD.length,
                INTERNAL_ERROR_HEAD.closes_connection,
                INTERNAL_ERROR_HEAD.replaced_fields,
            )
        )
        try:
            self._send_whole(INTERNAL_ERROR_BODY)
        except ClientDisconnected:
            return

    # The way to the loop.

    def _read_more(self) -> bytes:
        self._cache.counting_since = inf
        more = self._open_channel().read_threadsafe()
        self._cache.counting_since = monotonic()
        return more

    def _open_channel(self) -> Channel:
        if self._channel is None:
            self._channel = Channel(self.sink.post, expects_body=self._body is not None and self._body.more)
            self.sink.post_threadsafe(self.sink.open_channel, self._channel)
        return self._channel


def log_in_context(context: contextvars.Context, text: str, error: BaseException) -> None:
    """Log an error in a call's context. Raises nothing: even a failing log filter must not end the thread."""
    with suppress(Exception):
        context.run(logger.error, text, exc_info=error)


def to_bytes(piece: bytes | bytearray | memoryview) -> bytes:
    """Return a piece of a body as bytes; it may be any object with a buffer. Raises `TypeError` for others."""
    if type(piece) is bytes:
        return piece
    try:
        return memoryview(piece).tobytes()
    except TypeError:
        raise TypeError(f"a WSGI application's body is made of bytes, not of {reprlib.repr(piece)}") from None
