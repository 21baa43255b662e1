"""The metrics, as Prometheus' own parser reads them, after requests of which everything is known."""

import asyncio
import ssl
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from support.admin import Admin, Metrics, admin_of
from support.apps import Gate, body, echo_body, hello, read_body, respond, start
from support.blocking_app import Blocking
from support.bounds import give_bounds
from support.certificates import Authority, has_openssl
from support.embedded_server import Serve
from support.error_log import ErrorLog
from support.http2_client import http2_clients
from support.raw_client import Connect, RawClient, post, post_chunked, request
from support.responses import Response
from support.tls_client import encrypt
from support.waiting import DEADLINE, wait_until
from support.websocket_client import CLOSE, WebSocketClient, close, opening, text
from support.websocket_client import echo as echo_messages
from support.wsgi_apps import Held

from threadserve.admin.prometheus import LOOP_METRICS, POOL_METRICS, PROCESS_METRICS
from threadserve.metrics.histogram import DURATION_BOUNDS_SECONDS
from threadserve.types import Receive, Scope, Send

DURATION, FIRST_BYTE = "threadserve_request_duration_seconds", "threadserve_time_to_first_byte_seconds"
QUEUE, TO_LOOP = "threadserve_queue_time_seconds", "threadserve_accept_to_app_seconds"
REQUESTS, REFUSALS = "threadserve_requests_total", "threadserve_refusals_total"
RECEIVED, SENT = "threadserve_received_bytes_total", "threadserve_sent_bytes_total"
ACCEPTED, CONNECTIONS = "threadserve_connections_accepted_total", "threadserve_connections"
OTHERS = [
    (REQUESTS, "counter"),
    (REFUSALS, "counter"),
    ("threadserve_loop_stalled", "gauge"),
    ("threadserve_ready", "gauge"),
    ("threadserve_build_info", "gauge"),
]


async def site(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the status that is the path."""
    status = int(scope["path"].strip("/") or 200)
    await respond(send, b"" if status in (204, 304) else b"x" * 10, status)


def test_every_metric_is_described(serve: Serve) -> None:
    metrics = admin_of(serve(hello)).metrics()
    declared = [(name, kind) for name, kind, *_ in (*LOOP_METRICS, *PROCESS_METRICS)] + OTHERS
    # The parser has the names of counters without their ending.
    assert {(name.removesuffix("_total") if kind == "counter" else name, kind) for name, kind in declared} == {
        (family.name, family.type) for family in metrics.families.values()
    }
    assert [name for name, family in metrics.families.items() if not family.documentation.endswith(".")] == []
    assert len({family.documentation for family in metrics.families.values()}) == len(metrics.families)


def test_the_format_is_that_of_the_content_type(serve: Serve) -> None:
    response = admin_of(serve(hello)).ask("/metrics")
    assert response.header("content-type") == b"text/plain; version=0.0.4; charset=utf-8"
    assert response.body.endswith(b"\n")
    assert b"\n\n" not in response.body


@pytest.mark.usefixtures("no_stalls")
def test_each_loop_has_its_own_numbers(serve: Serve, connect: Connect) -> None:
    server = serve(hello, threads=2, distribute="round-robin")
    admin = admin_of(server)
    for _ in range(3):
        connect(server).get()
    admin.wait_for(3, REQUESTS, status="2xx")
    found = {sample.labels["thread"]: sample.value for sample in admin.metrics().samples(ACCEPTED)}
    assert found == {"1": 2, "2": 1} or found == {"1": 1, "2": 2}


def test_statuses_by_class(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    server = serve(site)
    admin = admin_of(server)
    before = {sample.labels["status"]: sample.value for sample in admin.metrics().samples(REQUESTS)}
    assert before == {"2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0}
    client = connect(server)
    for status in (200, 204, 201, 304, 404, 503, 503):
        assert client.get(f"/{status}").status == status
    assert client.get("/nonsense").status == 500
    error_log.expect(ValueError)
    admin.wait_for(8, f"{DURATION}_count")
    after = {sample.labels["status"]: sample.value for sample in admin.metrics().samples(REQUESTS)}
    assert after == {"2xx": 3, "3xx": 1, "4xx": 1, "5xx": 3}


class Counting:
    """Counts the bytes of a client, both ways, as they are on the wire."""

    def __init__(self, client: RawClient) -> None:
        self.client = client
        self.sent = self.received = 0
        receive = client.reader.receive

        def counted() -> bytes:
            data = receive()
            self.received += len(data)
            return data

        client.reader.receive = counted

    def ask(self, data: bytes, method: str = "GET") -> Response:
        """Sends a request and reads its response."""
        self.sent += len(data)
        self.client.send(data)
        return self.client.read_response(method)

    def check(self, admin: Admin) -> None:
        """The server has counted the same."""
        admin.wait_for(self.sent, RECEIVED)
        admin.wait_for(self.received, SENT)


async def large(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with much at once, in pieces, or what it gets."""
    if scope["path"] == "/large":
        await respond(send, b"x" * 5_000_000)
    elif scope["path"] == "/pieces":
        await start(send)
        for size in (1, 100_000, 1, 70_000):
            await body(send, b"x" * size, more=True)
        await body(send)
    else:
        await respond(send, await read_body(receive))


def test_bytes_are_those_on_the_wire(serve: Serve, connect: Connect, loop: str) -> None:
    server = serve(large, loop=loop)
    counting, admin = Counting(connect(server)), admin_of(server)
    # The response has the same length each time, but that the field for the date may be of another second.
    for data, method in [
        (request(), "GET"),
        (request("HEAD", "/large"), "HEAD"),
        (post("/", b"y" * 300_000), "POST"),
        (post_chunked("/", b"a", b"y" * 100_000), "POST"),
        (request(target="/large"), "GET"),
        (request(target="/pieces"), "GET"),
        (request("POST", "/", "Expect: 100-continue", "Content-Length: 1", body=b"a"), "POST"),
        (b"NONSENSE\r\n\r\n", "GET"),
    ]:
        counting.ask(data, method)
        counting.check(admin)


def test_the_bytes_of_a_pipeline(serve: Serve, connect: Connect, loop: str) -> None:
    server = serve(hello, loop=loop)
    counting, admin = Counting(connect(server)), admin_of(server)
    counting.ask(request() * 20)
    for _ in range(19):
        counting.client.read_response()
    counting.check(admin)


@pytest.mark.parametrize("length", ["declared", "chunked"])
def test_the_bytes_of_a_file(serve: Serve, connect: Connect, loop: str, tmp_path: Path, length: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 1_000_000)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, headers=[(b"content-length", b"1000000")] if length == "declared" else [])
        await send({"type": "http.response.pathsend", "path": str(file)})

    server = serve(app, loop=loop, pathsend=True)
    counting, admin = Counting(connect(server)), admin_of(server)
    assert len(counting.ask(request()).body) == 1_000_000
    counting.check(admin)


def test_histograms_have_every_request(serve: Serve, connect: Connect) -> None:
    pause = 0.12

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/late":
            await asyncio.sleep(pause)
            await respond(send, b"x")
        elif scope["path"] == "/slow":
            await start(send)
            await body(send, b"x", more=True)
            await asyncio.sleep(pause)
            await body(send)
        else:
            await respond(send, b"x")

    server = serve(app)
    admin, client = admin_of(server), connect(server)
    began = time.monotonic()
    for target in ("/", "/late", "/slow"):
        client.get(target)
    took = time.monotonic() - began
    admin.wait_for(3, f"{DURATION}_count")
    metrics = admin.metrics()
    # A loop's clock is that of its turn, so that it may sleep for a little less.
    assert 2 * pause * 0.95 <= metrics.value(f"{DURATION}_sum") <= took + 0.1
    # The first byte of what is sent bit by bit does not wait for the last one.
    assert pause * 0.95 <= metrics.value(f"{FIRST_BYTE}_sum") <= metrics.value(f"{DURATION}_sum") - pause * 0.5
    for name in (DURATION, FIRST_BYTE):
        buckets = {sample.labels["le"]: sample.value for sample in metrics.samples(f"{name}_bucket")}
        assert list(buckets) == [*map(str, DURATION_BOUNDS_SECONDS), "+Inf"]
        assert list(buckets.values()) == sorted(buckets.values())
        assert buckets["+Inf"] == metrics.value(f"{name}_count") == 3
        assert buckets["0.1"] == (1 if name == DURATION else 2)
        assert buckets["60.0"] == 3


def test_connections(serve: Serve, connect: Connect) -> None:
    gate = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/wait":
            await gate.wait()
        await respond(send, b"x")

    server = serve(app, release_idle=False)
    admin = admin_of(server)
    first, second, third = connect(server), connect(server), connect(server)
    assert first.get().status == second.get().status == 200
    third.send(request("GET", "/wait"))
    gate.wait_for_arrivals()
    metrics = admin.metrics()
    assert (metrics.value(ACCEPTED), metrics.value(CONNECTIONS)) == (3, 3)
    assert metrics.value("threadserve_requests_in_flight") == 1
    assert metrics.value("threadserve_connections_idle") == 0
    assert metrics.value(f"{TO_LOOP}_count") == 3
    assert metrics.value(f"{TO_LOOP}_sum") < DEADLINE
    gate.open()
    assert third.read_response().status == 200
    first.close()
    wait_until(lambda: admin.metrics().value(CONNECTIONS) == 2, "the connection to be closed")
    assert admin.metrics().value("threadserve_requests_in_flight") == 0
    assert admin.metrics().value(ACCEPTED) == 3


def test_idle_connections_belong_to_no_loop(monkeypatch: pytest.MonkeyPatch, serve: Serve, connect: Connect) -> None:
    give_bounds(monkeypatch, idle_release_seconds=0.0, tick_seconds=0.02)
    server = serve(hello, timeout_keep_alive=3 * DEADLINE)
    admin, client = admin_of(server), connect(server)
    client.get()
    admin.wait_for(1, "threadserve_connections_idle")
    assert admin.metrics().value(CONNECTIONS) == 0
    # It is no new one when it comes back.
    client.get()
    admin.wait_for(2, REQUESTS)
    assert admin.metrics().value(ACCEPTED) == 1


def test_websockets(serve: Serve, loop: str) -> None:
    server = serve(echo_messages, loop=loop)
    admin = admin_of(server)
    client = WebSocketClient(server.host, server.port)
    with closing(client.socket):
        counting = Counting(client)
        sent = 0
        behind = text("behind")
        client.open(behind=behind)
        assert client.read_text() == "behind"
        for message in ("a", "b" * 100_000):
            client.send(text(message))
            sent += len(text(message))
            assert client.read_text() == message
        metrics = admin.metrics()
        assert (metrics.value("threadserve_websockets_open"), metrics.value("threadserve_websockets_total")) == (1, 1)
        counting.sent = len(opening()) + len(behind) + sent
        admin.wait_for(counting.sent, RECEIVED)
        admin.wait_for(counting.received, SENT)
        client.send(close(1000))
        assert client.read_frame().opcode == CLOSE
        client.reader.rest()
    wait_until(lambda: admin.metrics().value("threadserve_websockets_open") == 0, "the WebSocket to end")
    metrics = admin.metrics()
    assert metrics.value("threadserve_websockets_total") == 1
    assert metrics.value(SENT) == counting.received
    # It is no request that has ended.
    assert metrics.value(REQUESTS) == 0


def test_websockets_that_are_cut_off_are_open_no_more(serve: Serve) -> None:
    server = serve(echo_messages)
    admin = admin_of(server)
    client = WebSocketClient(server.host, server.port)
    client.open()
    client.reset()
    admin.wait_for(1, "threadserve_websockets_total")
    wait_until(lambda: admin.metrics().value("threadserve_websockets_open") == 0, "the WebSocket to end")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505),
        (request("GET", "/", "X: " + "y" * 20_000), 431),
        (request("POST", "/", "Transfer-Encoding: gzip, chunked"), 501),
    ],
)
def test_refusals(serve: Serve, connect: Connect, data: bytes, status: int) -> None:
    server = serve(echo_body, limit_request_header_size=10_000)
    admin, client = admin_of(server), connect(server)
    client.send(data)
    assert client.read_response().status == status
    admin.wait_for(1, REFUSALS, status=str(status))
    assert admin.metrics().value(REFUSALS) == 1


def test_requests_beyond_the_limit_are_refusals(serve: Serve, connect: Connect) -> None:
    app = Blocking()
    server = serve(app, limit_concurrency=1)
    admin, waiting = admin_of(server), connect(server)
    waiting.send(request("GET", "/wait"))
    app.gate.wait_for_arrivals()
    assert connect(server).get().status == 503
    admin.wait_for(1, REFUSALS, status="503")
    app.gate.open()
    assert waiting.read_response().status == 200


def test_a_client_that_leaves(serve: Serve, connect: Connect) -> None:
    arrived = Gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        arrived.arrived += 1
        while (await receive())["type"] != "http.disconnect":
            pass

    server = serve(app)
    admin, client = admin_of(server), connect(server)
    client.send(request())
    arrived.wait_for_arrivals()
    client.reset()
    admin.wait_for(1, REQUESTS, status="4xx")
    assert admin.metrics().value(f"{DURATION}_count") == 1


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the clients trust."""
    if not has_openssl():
        pytest.skip("there is no openssl command")
    return Authority(tmp_path_factory.mktemp("certificates"))


def test_tls(serve: Serve, connect: Connect, authority: Authority, loop: str) -> None:
    server = serve(hello, loop=loop, **authority.sign("server").settings)
    admin = admin_of(server)
    client = encrypt(connect(server), authority.client_context())
    counting = Counting(client)
    counting.ask(request())
    # What is counted is what is in the encryption.
    counting.check(admin)
    assert admin.metrics().value("threadserve_tls_handshakes_total") == 1
    with pytest.raises(ssl.SSLCertVerificationError):
        encrypt(connect(server), ssl.create_default_context())
    admin.wait_for(1, "threadserve_tls_failures_total")
    connect(server).send(b"GET / HTTP/1.1\r\n\r\n")
    admin.wait_for(2, "threadserve_tls_failures_total")
    metrics = admin.metrics()
    assert metrics.value("threadserve_tls_handshakes_total") == 1
    assert metrics.value(ACCEPTED) == 3
    assert metrics.value(REQUESTS) == 1


def test_the_bytes_of_a_file_over_tls(serve: Serve, connect: Connect, authority: Authority, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 1_000_000)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await send({"type": "http.response.pathsend", "path": str(file)})

    server = serve(app, pathsend=True, **authority.sign("server").settings)
    counting = Counting(encrypt(connect(server), authority.client_context()))
    counting.ask(request())
    counting.check(admin_of(server))


def test_http2(serve: Serve) -> None:
    server = serve(echo_body, http2=True)
    admin = admin_of(server)
    with http2_clients() as connect_h2:
        client = connect_h2(server)
        data = b"x" * 50_000
        assert client.get().status == 200
        assert client.post("/", data).body == data
        admin.wait_for(2, REQUESTS, status="2xx")
        metrics = admin.metrics()
        # Frames and fields are few beside the bodies.
        assert len(data) < metrics.value(RECEIVED) < len(data) + 2000
        assert len(data) < metrics.value(SENT) < len(data) + 2000
        assert metrics.value(ACCEPTED) == 1
        assert metrics.value(f"{DURATION}_count") == 2


@pytest.mark.parametrize("stamp", ["t={:.3f}", "{:.6f}", "ms", "us"])
def test_the_time_in_the_queue_of_a_proxy(serve: Serve, connect: Connect, stamp: str) -> None:
    waited = 4.0
    began = time.time() - waited
    value = {"ms": f"{began * 1e3:.0f}", "us": f"t={began * 1e6:.0f}"}.get(stamp, stamp.format(began))
    server = serve(hello)
    admin, client = admin_of(server), connect(server)
    client.get("/", f"X-Request-Start: {value}")
    client.get()
    client.get("/", "X-Request-Start: yesterday")
    admin.wait_for(3, REQUESTS)
    metrics = admin.metrics()
    assert metrics.value(f"{QUEUE}_count") == 1
    assert waited - 0.1 <= metrics.value(f"{QUEUE}_sum") < waited + DEADLINE / 3


def test_the_time_in_a_queue_is_believed_of_proxies_alone(serve: Serve, connect: Connect) -> None:
    server = serve(hello, forwarded_allow_ips="192.0.2.1")
    admin = admin_of(server)
    connect(server).get("/", f"X-Request-Start: t={time.time() - 4}")
    admin.wait_for(1, REQUESTS)
    assert admin.metrics().value(f"{QUEUE}_count") == 0


def test_the_pool_of_a_wsgi_application(serve: Serve, connect: Connect) -> None:
    app = Held()
    server = serve(app, interface="wsgi", wsgi_threads=2, wsgi_queue=3, timeout_request=None)
    admin = admin_of(server)
    described = {(name.removesuffix("_total"), kind) for name, kind, *_ in POOL_METRICS}
    families = admin.metrics().families.values()
    assert described <= {(family.name, family.type) for family in families}
    clients = [connect(server) for _ in range(3)]
    try:
        for client in clients:
            client.send(request("GET", "/held"))
        app.wait_for(2)
        admin.wait_for(1, "threadserve_wsgi_queue")
        metrics = admin.metrics()
        numbers = {name: metrics.value(f"threadserve_wsgi_{name}") for name in ("threads_busy", "queue_limit")}
        assert numbers == {"threads_busy": 2, "queue_limit": 3}
        assert metrics.value("threadserve_wsgi_threads_stuck") == metrics.value("threadserve_wsgi_timeouts_total") == 0
    finally:
        app.release.set()
    assert [client.read_response().status for client in clients] == [200] * 3
    admin.wait_for(3, REQUESTS, status="2xx")
    wait_until(lambda: admin.metrics().value("threadserve_wsgi_threads_busy") == 0, "the threads to be free")


def test_wsgi_calls_that_take_too_long(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    app = Held()
    server = serve(app, interface="wsgi", wsgi_threads=1, timeout_request=0.2)
    admin = admin_of(server)
    try:
        assert connect(server).get("/held").status == 504
        admin.wait_for(1, "threadserve_wsgi_timeouts_total")
        admin.wait_for(1, "threadserve_wsgi_threads_stuck")
        admin.wait_for(1, REQUESTS, status="5xx")
        error_log.expect(text="A WSGI call has not come back for 0.2 seconds: GET /held.")
    finally:
        app.release.set()
    wait_until(lambda: admin.metrics().value("threadserve_wsgi_threads_stuck") == 0, "the call to end")


def test_stalls_and_lag(serve: Serve) -> None:
    app = Blocking()
    server = serve(app, timeout_loop_stall=0.3)
    admin = admin_of(server)
    with app.held(server, "/sleep"):
        admin.wait_for(1, "threadserve_loop_stalls_total")
        admin.wait_for(1, "threadserve_loop_stalled")
    wait_until(lambda: admin.metrics().value("threadserve_loop_stalled") == 0, "the loop to turn")
    metrics = admin.metrics()
    lag = {sample.labels["le"]: sample.value for sample in metrics.samples("threadserve_loop_lag_seconds_bucket")}
    assert lag["+Inf"] - lag["0.25"] >= 1
    assert metrics.value("threadserve_loop_lag_seconds_sum") >= 0.3
    beats = metrics.value("threadserve_loop_lag_seconds_count")
    wait_until(lambda: admin.metrics().value("threadserve_loop_lag_seconds_count") > beats, "another beat")


def test_the_process(serve: Serve) -> None:
    began = time.time()
    metrics = admin_of(serve(hello)).metrics()
    assert abs(metrics.value("process_start_time_seconds") - began) < DEADLINE
    assert 1e6 < metrics.value("process_resident_memory_bytes") < 1e11
    assert metrics.value("process_cpu_seconds_total") > 0
    assert metrics.value("process_open_fds") > 5
    assert metrics.value("process_threads") >= 3
    [build] = metrics.samples("threadserve_build_info")
    assert (build.value, set(build.labels)) == (1, {"version", "python", "form"})


def test_counters_outlive_their_loop(serve: Serve, connect: Connect, error_log: ErrorLog) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def die() -> None:
            raise SystemExit("killed by a test")

        if scope["path"] == "/die":
            tasks.append(asyncio.create_task(die()))
            tasks[-1].add_done_callback(asyncio.Task.exception)
            await asyncio.Event().wait()
        await respond(send, b"x")

    server = serve(app, release_idle=False)
    admin = admin_of(server)
    before: dict[tuple[str, ...], float] = {}
    for deaths in range(1, 4):
        assert connect(server).get().status == 200
        connect(server).send(b"NONSENSE\r\n\r\n")
        admin.wait_for(deaths, REFUSALS)
        victim = connect(server)
        victim.send(request("GET", "/die"))
        error_log.expect(SystemExit, "died")
        with suppress(ConnectionResetError):
            victim.read_all()
        admin.wait_for(deaths, "threadserve_threads_replaced_total")
        admin.wait_for_health("/readyz", 200, "ready")
        now = counters(admin.metrics())
        assert {key: value for key, value in before.items() if now[key] < value} == {}
        before = now
    metrics = admin.metrics()
    assert metrics.value(ACCEPTED) == 9
    assert metrics.value(REQUESTS, status="2xx") == metrics.value(REFUSALS, status="400") == 3
    error_log.claim_all()


def counters(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """What may only grow."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics.families.values()
        if family.type in ("counter", "histogram")
        for sample in family.samples
    }
