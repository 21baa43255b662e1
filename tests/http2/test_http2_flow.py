"""Flow control: nobody waits for another's client or application, and nothing is collected without bound."""

import hashlib
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import psutil
import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, SettingsFrame, WindowUpdateFrame
from support.apps import Gate, Outcome, body, echo_body, respond, start
from support.bounds import give_bounds
from support.embedded_server import EmbeddedServer, Serve
from support.http2_client import INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE_CODE, ConnectH2, H2Client
from support.waiting import DEADLINE, wait_until

from threadserve.types import Receive, Scope, Send

MEGABYTE = 1_000_000
PART = 16384
# What waits on a stream: the bound, and the part that exceeds it.
STREAM_BUFFER = 65536 + PART
STREAM_WINDOW = 262144
BODY_BUFFER = 65536
LARGE_WINDOW = 2**30


class Streaming:
    """Streams what is asked for: `/large` is 4 MB in parts of 16 kB; `taken` counts what `send` has let go on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.taken: dict[str, int] = {}
        self.disconnected = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if not path.startswith("/large"):
            await respond(send, path.encode())
            return
        await start(send)
        for number in range(256):
            await body(send, bytes([number]) * PART, more=number < 255)
            with self._lock:
                self.taken[path] = self.taken.get(path, 0) + PART

    def total(self) -> int:
        """How much `send` has let go on, of all streams."""
        with self._lock:
            return sum(self.taken.values())

    def wait_for(self, size: int) -> None:
        """Waits until `send` has let so much go on."""
        wait_until(lambda: self.total() >= size, f"{size} bytes, of which there are {self.total()}")


LARGE = b"".join([bytes([number]) * PART for number in range(256)])


class Uploads:
    """Answers with the digest of a body; reads that of `/held` only when the gate is open. `received` counts bytes."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.received = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/unread":
            await respond(send, b"unread")
            return
        if scope["path"] == "/held":
            await self.gate.wait()
        hashed, more = hashlib.sha256(), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            hashed.update(message["body"])
            self.received += len(message["body"])
            more = message["more_body"]
        await respond(send, hashed.digest())


class Uploader:
    """A body on its way, as far as the server's windows let it."""

    def __init__(self, client: H2Client, path: str, data: bytes) -> None:
        self.client = client
        self.data = data
        self.sent = 0
        self.stream = client.open(path, method="POST", ends=False)
        self._seen = 0
        self._window = client.settings[INITIAL_WINDOW_SIZE]

    def window(self) -> int:
        """How much the server takes of this stream."""
        for frame in self.client.frames[self._seen :]:
            if isinstance(frame, WindowUpdateFrame) and frame.stream_id == self.stream:
                self._window += frame.window_increment
        self._seen = len(self.client.frames)
        return self._window

    def send_some(self, limit: int) -> int:
        """Sends as much as the stream's window and the limit allow; returns how much."""
        size = min(self.window(), len(self.data) - self.sent, limit)
        if size > 0:
            self.sent += size
            self._window -= size
            ends = self.sent == len(self.data)
            self.client.send_data(self.stream, self.data[self.sent - size : self.sent], ends=ends)
        return max(size, 0)


class Uploading:
    """The uploads of one client, which keep to the connection's window too."""

    def __init__(self, client: H2Client) -> None:
        client.read_until(lambda: client.settings)
        client.synchronize()
        self.client = client
        self.sent = 0

    def window(self) -> int:
        """How much the server takes of all streams."""
        updates = [frame for frame in self.client.frames if isinstance(frame, WindowUpdateFrame)]
        return 65535 + sum(frame.window_increment for frame in updates if not frame.stream_id) - self.sent

    def send(self, *uploads: Uploader) -> None:
        """Sends what may be sent until all is sent, or the server takes no more."""
        while any(upload.sent < len(upload.data) for upload in uploads):
            sent = 0
            for upload in uploads:
                size = upload.send_some(min(self.window(), PART))
                self.sent += size
                sent += size
            if not sent:
                seen = self.updates()
                self.client.synchronize()
                if seen == self.updates() and not self._hears_within(0.3):
                    return

    def updates(self) -> int:
        """How many times the server has said that it takes more."""
        return sum(isinstance(frame, WindowUpdateFrame) for frame in self.client.frames)

    def _hears_within(self, seconds: float) -> bool:
        return bool(select.select([self.client.socket], [], [], seconds)[0]) and self.client.read_some()


def digest(data: bytes) -> bytes:
    """What bodies are compared by."""
    return hashlib.sha256(data).digest()


def hang_on(client: H2Client) -> None:
    """Returns when the server has sent all that it may."""
    size = -1
    while size != (size := sum(len(each.body) for each in client.responses.values())):
        client.synchronize()


ConnectSmall = Callable[[EmbeddedServer, dict[int, int]], H2Client]


@pytest.fixture
def connect_small(serve: Serve) -> Iterator[ConnectSmall]:
    """Connects a client whose socket takes little, and whose windows are left as they are."""
    with ExitStack() as stack:

        def connect(server: EmbeddedServer, settings: dict[int, int]) -> H2Client:
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            connection.settimeout(DEADLINE)
            connection.connect((server.host, server.port))
            return H2Client(connection, settings, takes=False)

        yield connect


# From the server to the client.


def test_stream_that_nobody_takes_holds_up_no_other(serve: Serve, connect_h2: ConnectH2) -> None:
    app = Streaming()
    client = connect_h2(serve(app), takes=False)
    client.widen(LARGE_WINDOW)
    slow = client.open("/large/slow")
    client.read_until(lambda: len(client.response(slow).body) == 65535)
    client.takes = True
    assert client.get("/large/fast").body == LARGE
    assert client.get("/other").body == b"/other"
    assert app.taken["/large/slow"] <= 65535 + STREAM_BUFFER
    client.widen(LARGE_WINDOW, slow)
    assert client.read(slow).body == LARGE


def test_send_waits_while_the_client_takes_nothing(serve: Serve, connect_h2: ConnectH2) -> None:
    app = Streaming()
    client = connect_h2(serve(app), {INITIAL_WINDOW_SIZE: 0}, takes=False)
    client.widen(LARGE_WINDOW)
    stream = client.open("/large")
    app.wait_for(65536)
    hang_on(client)
    assert not client.response(stream).body
    assert app.total() <= STREAM_BUFFER
    client.widen(MEGABYTE, stream)
    app.wait_for(MEGABYTE)
    client.read_until(lambda: len(client.response(stream).body) == MEGABYTE)
    hang_on(client)
    assert len(client.response(stream).body) == MEGABYTE
    assert app.total() <= MEGABYTE + STREAM_BUFFER
    client.widen(LARGE_WINDOW, stream)
    assert client.read(stream).body == LARGE


def test_send_goes_on_when_the_initial_window_is_larger(serve: Serve, connect_h2: ConnectH2) -> None:
    app = Streaming()
    client = connect_h2(serve(app), {INITIAL_WINDOW_SIZE: 0}, takes=False)
    client.widen(LARGE_WINDOW)
    streams = [client.open(f"/large/{number}") for number in range(3)]
    app.wait_for(3 * 65536)
    client.send_frame(SettingsFrame(0, settings={INITIAL_WINDOW_SIZE: 100_000}))
    client.read_until(lambda: all(len(client.response(stream).body) == 100_000 for stream in streams))
    client.send_frame(SettingsFrame(0, settings={INITIAL_WINDOW_SIZE: LARGE_WINDOW}))
    assert [client.read(stream).body == LARGE for stream in streams] == [True] * 3


def test_window_that_becomes_negative(serve: Serve, connect_h2: ConnectH2) -> None:
    """RFC 9113 section 6.9.2."""
    app = Streaming()
    client = connect_h2(serve(app), {INITIAL_WINDOW_SIZE: 50_000}, takes=False)
    stream = client.open("/large")
    response = client.response(stream)
    client.read_until(lambda: len(response.body) == 50_000)
    client.send_frame(SettingsFrame(0, settings={INITIAL_WINDOW_SIZE: 10_000}))
    client.widen(LARGE_WINDOW)
    client.widen(40_000, stream)
    hang_on(client)
    assert len(response.body) == 50_000
    client.widen(1000, stream)
    client.read_until(lambda: len(response.body) == 51_000)
    client.widen(LARGE_WINDOW, stream)
    assert client.read(stream).body == LARGE


def test_connection_window_closes_and_opens(serve: Serve, connect_h2: ConnectH2) -> None:
    app = Streaming()
    client = connect_h2(serve(app), {INITIAL_WINDOW_SIZE: LARGE_WINDOW}, takes=False)
    streams = [client.open(f"/large/{number}") for number in range(5)]

    def size() -> int:
        return sum(len(client.response(stream).body) for stream in streams)

    client.read_until(lambda: size() == 65535)
    hang_on(client)
    assert size() == 65535
    assert app.total() <= 65535 + 5 * STREAM_BUFFER
    # Heads need no window.
    assert client.get("/", method="HEAD").status == 200
    client.widen(1)
    client.read_until(lambda: size() == 65536)
    client.widen(LARGE_WINDOW)
    assert [client.read(stream).body == LARGE for stream in streams] == [True] * 5


SETTINGS = {
    "usual": {},
    "large frames": {MAX_FRAME_SIZE_CODE: 2**24 - 1},
    "small windows": {INITIAL_WINDOW_SIZE: 8192},
    "tiny windows": {INITIAL_WINDOW_SIZE: 999},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_bodies_on_many_streams_come_intact(
    serve: Serve, connect_h2: ConnectH2, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    give_bounds(monkeypatch, max_control_frames=10**9)
    largest = 200_000 if name == "tiny windows" else 2 * MEGABYTE

    def data(path: str) -> bytes:
        return hashlib.sha256(path.encode()).digest() * (1 + int(path[1:]) * largest // 19 // 32)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        whole = data(scope["path"])
        step = [len(whole), 1000, 16384, 100_000][int(scope["path"][1:]) % 4]
        await start(send)
        for at in range(0, len(whole), step):
            await body(send, whole[at : at + step], more=True)
        await body(send)

    client = connect_h2(serve(app), SETTINGS[name])
    streams = {client.open(f"/{number}"): f"/{number}" for number in range(20)}
    for stream, path in streams.items():
        assert digest(client.read(stream).body) == digest(data(path))


def test_frames_are_no_larger_than_the_client_takes(serve: Serve, connect_h2: ConnectH2) -> None:
    client = connect_h2(serve(Streaming()), {MAX_FRAME_SIZE_CODE: PART, INITIAL_WINDOW_SIZE: LARGE_WINDOW})
    assert client.get("/large").body == LARGE
    assert max(len(frame.data) for frame in client.frames if isinstance(frame, DataFrame)) <= PART


def test_hundred_streams_of_a_client_that_reads_nothing(
    serve: Serve, connect_h2: ConnectH2, connect_small: ConnectSmall
) -> None:
    """Neither its windows nor its socket take anything."""
    app = Streaming()
    server = serve(app)
    client = connect_small(server, {INITIAL_WINDOW_SIZE: LARGE_WINDOW})
    client.widen(LARGE_WINDOW)
    before = psutil.Process().memory_info().rss
    for number in range(100):
        client.open(f"/large/{number}")
    wait_for_standstill(app.total)
    assert connect_h2(server).get("/other").body == b"/other"
    # Each stream's buffer, the transport's, and the sockets'.
    assert app.total() < 100 * STREAM_BUFFER + 8 * MEGABYTE
    assert psutil.Process().memory_info().rss - before < 32 * MEGABYTE


def test_client_that_pauses_gets_everything_in_the_end(serve: Serve, connect_small: ConnectSmall) -> None:
    app = Streaming()
    client = connect_small(serve(app), {INITIAL_WINDOW_SIZE: LARGE_WINDOW})
    client.widen(LARGE_WINDOW)
    streams = [client.open(f"/large/{number}") for number in range(5)]
    wait_for_standstill(app.total)
    assert app.total() < 5 * len(LARGE)
    assert [client.read(stream).body == LARGE for stream in streams] == [True] * 5


def wait_for_standstill(measure: Callable[[], int]) -> None:
    """Returns when a number has not changed for a while."""
    quiet = threading.Event()
    last = -1
    while last != (last := measure()):
        quiet.wait(0.3)


# From the client to the server.


def test_upload_of_five_megabytes(serve: Serve, connect_h2: ConnectH2) -> None:
    uploading = Uploading(connect_h2(serve(Uploads())))
    upload = Uploader(uploading.client, "/", bytes(range(256)) * 20_000)
    uploading.send(upload)
    assert upload.sent == len(upload.data)
    assert uploading.client.read(upload.stream).body == digest(upload.data)


def test_body_that_is_not_read_waits_alone(serve: Serve, connect_h2: ConnectH2) -> None:
    app = Uploads()
    uploading = Uploading(connect_h2(serve(app)))
    client = uploading.client
    held = Uploader(client, "/held", bytes(2 * MEGABYTE))
    app.gate.wait_for_arrivals()
    uploading.send(held)
    assert STREAM_WINDOW <= held.sent <= STREAM_WINDOW + BODY_BUFFER + PART
    others = [Uploader(client, f"/{number}", bytes([number]) * MEGABYTE) for number in range(5)]
    uploading.send(*others)
    assert [client.read(each.stream).body for each in others] == [digest(each.data) for each in others]
    assert held.sent <= STREAM_WINDOW + BODY_BUFFER + PART
    app.gate.open()
    uploading.send(held)
    assert client.read(held.stream).body == digest(held.data)


def test_bodies_that_are_not_read_leave_room_for_others(serve: Serve, connect_h2: ConnectH2) -> None:
    """As many as fit into the connection's window are held; what others send then is taken all the same, or is when
    those are read."""
    app = Uploads()
    uploading = Uploading(connect_h2(serve(app)))
    client = uploading.client
    held = [Uploader(client, "/held", bytes(MEGABYTE)) for _ in range(10)]
    app.gate.wait_for_arrivals(10)
    uploading.send(*held)
    other = Uploader(client, "/other", bytes(MEGABYTE))
    uploading.send(other)
    assert client.read(other.stream).body == digest(other.data)
    app.gate.open()
    uploading.send(*held)
    assert {client.read(each.stream).body for each in held} == {hashlib.sha256(bytes(MEGABYTE)).digest()}


def test_windows_come_back_for_bodies_that_nobody_reads(serve: Serve, connect_h2: ConnectH2) -> None:
    """In all they are much more than the connection's window."""
    uploading = Uploading(connect_h2(serve(Uploads())))
    client = uploading.client
    for _ in range(100):
        stream = client.open("/unread", method="POST", ends=False)
        client.send_data(stream, bytes(100_000))
        uploading.sent += 100_000
        assert client.read(stream).body == b"unread"
        client.send_data(stream, ends=True)
        client.synchronize()
        assert uploading.window() > MEGABYTE
    upload = Uploader(client, "/", bytes(5 * MEGABYTE))
    uploading.send(upload)
    assert client.read(upload.stream).body == digest(upload.data)


def test_windows_come_back_for_bodies_of_streams_that_are_reset(serve: Serve, connect_h2: ConnectH2) -> None:
    app = Uploads()
    uploading = Uploading(connect_h2(serve(app)))
    client = uploading.client
    for number in range(60):
        stream = client.open("/held", method="POST", ends=False)
        client.send_data(stream, bytes(200_000))
        uploading.sent += 200_000
        app.gate.wait_for_arrivals(number + 1)
        client.synchronize()
        client.reset(stream)
        client.synchronize()
        assert uploading.window() > MEGABYTE
    app.gate.open()
    assert client.post("/", b"after").body == hashlib.sha256(b"after").digest()


def test_padding_gives_its_window_back(serve: Serve, connect_h2: ConnectH2) -> None:
    app = Uploads()
    uploading = Uploading(connect_h2(serve(app)))
    client = uploading.client
    stream = client.open("/", method="POST", ends=False)
    before = uploading.window()
    for _ in range(40):
        # Fewer than half of what the server takes, which may wait until so much is to be given back.
        for _ in range(10):
            client.send_frame(DataFrame(stream, data=b"x" * 10_000, pad_length=255, flags=["PADDED"]))
            uploading.sent += 10_256
        wait_until(lambda: app.received == uploading.sent // 10_256 * 10_000, "the body to be read")
        client.synchronize()
    client.send_data(stream, ends=True)
    assert client.read(stream).body == hashlib.sha256(b"x" * 4_000_000).digest()
    client.synchronize()
    assert uploading.window() > before // 2


@pytest.mark.parametrize("of_connection", [False, True], ids=["stream", "connection"])
def test_client_that_sends_more_than_it_may(serve: Serve, connect_h2: ConnectH2, of_connection: bool) -> None:
    """RFC 9113 section 6.9.1."""
    app = Uploads()
    client = connect_h2(serve(app))
    streams = [client.open("/held", method="POST", ends=False) for _ in range(20 if of_connection else 1)]
    app.gate.wait_for_arrivals(len(streams))
    with suppress(ConnectionError):
        for stream in streams:
            client.send_data(stream, bytes(260_000 if of_connection else 600_000))
    client.read_until(lambda: client.goaways or client.response(streams[0]).reset)
    code = client.goaways[0].error_code if client.goaways else client.response(streams[0]).reset
    assert code == ErrorCodes.FLOW_CONTROL_ERROR
    app.gate.open()


def test_two_way_stream(serve: Serve, connect_h2: ConnectH2) -> None:
    """The answer goes out while the body comes in, whichever side is slow."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await body(send, message["body"], more=more)

    uploading = Uploading(connect_h2(serve(app)))
    upload = Uploader(uploading.client, "/", bytes(range(256)) * 10_000)
    uploading.send(upload)
    assert uploading.client.read(upload.stream).body == upload.data


def test_application_that_waits_for_its_client_hears_of_its_end(serve: Serve, connect_h2: ConnectH2) -> None:
    """What it sends then is let go."""
    outcome = Outcome()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await start(send, 200, [(b"content-length", b"%d" % (10 * PART))])
        for number in range(10):
            await body(send, bytes(PART), more=number < 9)
        outcome.set(await receive())

    client = connect_h2(serve(app), {INITIAL_WINDOW_SIZE: 0}, takes=False)
    stream = client.open()
    client.read_until(lambda: client.response(stream).status)
    client.reset(stream)
    assert outcome.get()["type"] == "http.disconnect"


def test_echo_of_a_large_body(serve: Serve, connect_h2: ConnectH2) -> None:
    uploading = Uploading(connect_h2(serve(echo_body)))
    upload = Uploader(uploading.client, "/", bytes(range(256)) * 10_000)
    uploading.send(upload)
    assert uploading.client.read(upload.stream).body == upload.data
