"""A client that sends the very frames of HTTP/2 it is told to, and tells what it gets. Every read has a deadline."""

import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from h2.errors import ErrorCodes
from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from support.waiting import DEADLINE

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_SIZE = 9
MAX_FRAME_SIZE = 16384
DEFAULT_WINDOW = 65535
HEADER_TABLE_SIZE = SettingsFrame.HEADER_TABLE_SIZE
INITIAL_WINDOW_SIZE = SettingsFrame.INITIAL_WINDOW_SIZE
MAX_FRAME_SIZE_CODE = SettingsFrame.MAX_FRAME_SIZE

Fields = list[tuple[bytes, bytes]]


@dataclass
class H2Response:
    """What has come on a stream. `reset` is the code that it was reset with, `is_complete` says that it has ended."""

    status: int = 0
    headers: Fields = field(default_factory=list)
    body: bytes = b""
    trailers: Fields = field(default_factory=list)
    informational: list[tuple[int, Fields]] = field(default_factory=list)
    is_complete: bool = False
    reset: ErrorCodes | None = None

    def header(self, name: str) -> bytes | None:
        """The value of a header, the only one with this name in lower case; None where there is none."""
        values = [value for each, value in self.headers if each == name.encode()]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None


class H2Client:
    """One connection.

    `frames` are all that have come, `goaways` the GOAWAY frames among them, and `settings` what the server has said.
    Pings and settings are answered, unless `answers` is False. The client's windows stay open with `takes`: what is
    taken is given back at once. `is_closed` says that the server has closed the connection.
    """

    def __init__(
        self, connection: socket.socket, settings: dict[int, int] | None = None, *, takes: bool = True
    ) -> None:
        self.socket = connection
        self.socket.settimeout(DEADLINE)
        if self.socket.family != socket.AF_UNIX:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.takes = takes
        self.answers = True
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.frames: list[Frame] = []
        self.goaways: list[GoAwayFrame] = []
        self.settings: dict[int, int] = {}
        self.responses: dict[int, H2Response] = {}
        self.is_closed = False
        self.next_stream = 1
        self._sent: dict[int, int] = {}
        self._data = b""
        self._block: tuple[int, bytes, bool] | None = None
        self.send(PREFACE)
        self.send_frame(SettingsFrame(0, settings=settings or {}))

    # Sending.

    def send(self, data: bytes) -> None:
        """Sends bytes."""
        self.socket.sendall(data)

    def send_frame(self, *frames: Frame) -> None:
        """Sends frames, all at once."""
        self.send(b"".join([frame.serialize() for frame in frames]))

    def open(
        self,
        path: str = "/",
        fields: Iterable[tuple[str, str]] = (),
        *,
        method: str = "GET",
        ends: bool = True,
        authority: str = "example.org",
    ) -> int:
        """Sends the head of a request; with `ends` there is no more of it. Returns the stream's number."""
        pseudo = [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path)]
        return self.open_with([*pseudo, *fields], ends=ends)

    def open_with(self, fields: Iterable[tuple[str | bytes, str | bytes]], *, ends: bool = True) -> int:
        """The same of a head that is just these fields."""
        stream_id = self.next_stream
        self.next_stream += 2
        self.send_block(stream_id, fields, ends=ends)
        return stream_id

    def send_block(
        self, stream_id: int, fields: Iterable[tuple[str | bytes, str | bytes]], *, ends: bool = True
    ) -> None:
        """Sends a header block, in as many frames as it takes."""
        self.send_frame(*self.block_frames(stream_id, fields, ends=ends))

    def block_frames(
        self, stream_id: int, fields: Iterable[tuple[str | bytes, str | bytes]], *, ends: bool = True
    ) -> list[Frame]:
        """The frames of a header block."""
        data = self.encoder.encode([(as_bytes(name), as_bytes(value)) for name, value in fields])
        first = HeadersFrame(stream_id, data=data[:MAX_FRAME_SIZE], flags=["END_STREAM"] if ends else [])
        rest = [data[at : at + MAX_FRAME_SIZE] for at in range(MAX_FRAME_SIZE, len(data), MAX_FRAME_SIZE)]
        frames: list[Frame] = [first, *[ContinuationFrame(stream_id, data=part) for part in rest]]
        frames[-1].flags.add("END_HEADERS")
        return frames

    def send_data(self, stream_id: int, data: bytes = b"", *, ends: bool = False) -> None:
        """Sends a body's part, in as many frames as it takes, whatever the server's windows are."""
        parts = [data[at : at + MAX_FRAME_SIZE] for at in range(0, len(data), MAX_FRAME_SIZE)] or [b""]
        frames = [DataFrame(stream_id, data=part) for part in parts]
        self._sent[stream_id] = self._sent.get(stream_id, 0) + len(data)
        if ends:
            frames[-1].flags.add("END_STREAM")
        self.send_frame(*frames)

    def upload(self, stream_id: int, data: bytes) -> None:
        """Sends the whole of a body, as the server's windows allow."""
        self.read_until(lambda: self.settings)
        for at in range(0, len(data), MAX_FRAME_SIZE):
            part = data[at : at + MAX_FRAME_SIZE]
            self.read_until(lambda: self._is_over(stream_id) or len(part) <= self.window_of(stream_id))  # noqa: B023
            if self._is_over(stream_id):
                return
            self.send_data(stream_id, part)
        self.send_data(stream_id, ends=True)

    def window_of(self, stream_id: int) -> int:
        """How many bytes the server takes on a stream now."""
        updates = [frame for frame in self.frames if isinstance(frame, WindowUpdateFrame)]
        whole = DEFAULT_WINDOW + sum(frame.window_increment for frame in updates if not frame.stream_id)
        own = self.settings.get(INITIAL_WINDOW_SIZE, DEFAULT_WINDOW) + sum(
            frame.window_increment for frame in updates if frame.stream_id == stream_id
        )
        return min(whole - sum(self._sent.values()), own - self._sent.get(stream_id, 0))

    def _is_over(self, stream_id: int) -> bool:
        return self.response(stream_id).is_complete or self.response(stream_id).reset is not None

    def reset(self, stream_id: int, code: int = ErrorCodes.CANCEL) -> None:
        """Resets a stream."""
        self.send_frame(RstStreamFrame(stream_id, error_code=code))

    def widen(self, size: int, stream_id: int = 0) -> None:
        """Lets the server send so many bytes more."""
        self.send_frame(WindowUpdateFrame(stream_id, window_increment=size))

    # Receiving.

    def get(self, path: str = "/", fields: Iterable[tuple[str, str]] = (), **options: Any) -> H2Response:
        """Sends a request without a body and reads its response."""
        return self.read(self.open(path, fields, **options))

    def post(self, path: str, body: bytes, fields: Iterable[tuple[str, str]] = ()) -> H2Response:
        """Sends a request with a body and reads its response."""
        stream_id = self.open(path, fields, method="POST", ends=False)
        self.upload(stream_id, body)
        return self.read(stream_id)

    def response(self, stream_id: int) -> H2Response:
        """What has come on a stream so far."""
        return self.responses.setdefault(stream_id, H2Response())

    def read(self, stream_id: int) -> H2Response:
        """Reads until a response is complete, or its stream reset. Raises `ConnectionError` where neither comes."""
        response = self.response(stream_id)
        self.read_until(lambda: response.is_complete or response.reset is not None)
        return response

    def read_until(self, condition: Callable[[], object]) -> None:
        """Reads until something is so. Raises `ConnectionError` where the server closes before."""
        while not condition():
            if not self.read_some():
                raise ConnectionError(f"closed, after {self.goaways}")

    def read_goaway(self) -> GoAwayFrame:
        """Reads until the server says goodbye, and returns that."""
        self.read_until(lambda: self.goaways)
        return self.goaways[-1]

    def read_to_end(self) -> None:
        """Reads until the server closes the connection."""
        while self.read_some():
            pass

    def synchronize(self) -> None:
        """Returns when the server has taken up all that was sent: it answers a ping."""
        ping = PingFrame(0, opaque_data=b"in step?")
        self.send_frame(ping)
        seen = len(self.frames)
        self.read_until(lambda: any(isinstance(frame, PingFrame) for frame in self.frames[seen:]))

    def read_some(self) -> bool:
        """Reads what there is, and waits for it; returns whether the server has not closed the connection."""
        try:
            received = self.socket.recv(65536)
        except ConnectionError:
            received = b""
        if not received:
            self.is_closed = True
            return False
        self._data += received
        while len(self._data) >= HEAD_SIZE:
            frame, length = Frame.parse_frame_header(memoryview(self._data[:HEAD_SIZE]))
            if len(self._data) < HEAD_SIZE + length:
                break
            frame.parse_body(memoryview(self._data[HEAD_SIZE : HEAD_SIZE + length]))
            self._data = self._data[HEAD_SIZE + length :]
            self.frames.append(frame)
            self._take(frame, length)
        return True

    def _take(self, frame: Frame, length: int) -> None:
        if isinstance(frame, DataFrame):
            self._take_data(frame, length)
        elif isinstance(frame, (HeadersFrame, ContinuationFrame)):
            self._take_block(frame)
        elif isinstance(frame, RstStreamFrame):
            self.response(frame.stream_id).reset = ErrorCodes(frame.error_code)
        elif isinstance(frame, GoAwayFrame):
            self.goaways.append(frame)
        elif isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self.settings |= frame.settings
            if self.answers:
                self.send_frame(SettingsFrame(0, flags=["ACK"]))
        elif isinstance(frame, PingFrame) and "ACK" not in frame.flags and self.answers:
            self.send_frame(PingFrame(0, opaque_data=frame.opaque_data, flags=["ACK"]))

    def _take_data(self, frame: DataFrame, length: int) -> None:
        response = self.response(frame.stream_id)
        response.body += frame.data
        response.is_complete = "END_STREAM" in frame.flags
        if self.takes and length:
            self.send_frame(WindowUpdateFrame(0, window_increment=length))
            if not response.is_complete:
                self.send_frame(WindowUpdateFrame(frame.stream_id, window_increment=length))

    def _take_block(self, frame: HeadersFrame | ContinuationFrame) -> None:
        if isinstance(frame, HeadersFrame):
            self._block = frame.stream_id, b"", "END_STREAM" in frame.flags
        assert self._block is not None
        stream_id, data, ends = self._block
        self._block = stream_id, data + frame.data, ends
        if "END_HEADERS" not in frame.flags:
            return
        fields = [(bytes(name), bytes(value)) for name, value in self.decoder.decode(self._block[1], raw=True)]
        response = self.response(stream_id)
        if not fields[0][0].startswith(b":"):
            response.trailers = fields
        elif 100 <= int(fields[0][1]) < 200:
            response.informational.append((int(fields[0][1]), fields[1:]))
        else:
            response.status, response.headers = int(fields[0][1]), fields[1:]
        response.is_complete = ends

    def close(self) -> None:
        """Closes the connection."""
        self.socket.close()


def as_bytes(text: str | bytes) -> bytes:
    """A text as it is sent."""
    return text.encode("latin-1") if isinstance(text, str) else text


def encrypted(connection: socket.socket, authorities: str) -> ssl.SSLSocket:
    """A connection over TLS, on which HTTP/2 is agreed upon."""
    context = ssl.create_default_context(cafile=authorities)
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(connection, server_hostname="localhost")


ConnectH2 = Callable[..., H2Client]


@contextmanager
def http2_clients() -> Iterator[ConnectH2]:
    """Gives a function that connects a client to a server, with what `H2Client` takes; closes them in the end."""
    with ExitStack() as stack:

        def connect(server: Any, settings: dict[int, int] | None = None, **options: Any) -> H2Client:
            client = H2Client(socket.create_connection((server.host, server.port), DEADLINE), settings, **options)
            stack.callback(client.close)
            return client

        yield connect
