"""The threads for what blocks: how many all loops have together, and what becomes of them when a loop ends."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from support.apps import respond, start_killer
from support.embedded_server import EmbeddedServer, Serve
from support.error_log import ErrorLog
from support.raw_client import Connect, RawClient, clients, request
from support.server_process import ServerProcess
from support.waiting import DEADLINE, wait_until

from threadserve import Config, Server
from threadserve.config import defaults
from threadserve.runtime.loops import find_loop_factory
from threadserve.threads.app_threads import AppThreads, LoopExecutor, make_app_threads
from threadserve.types import Receive, Scope, Send

OURS = "threadserve-app_"


class Work:
    """Blocks threads until `release` is set; tells how many it blocks, at the most, and what they are called."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.asked = 0
        self.running = 0
        self.peak = 0
        self.names: set[str] = set()
        self._lock = threading.Lock()

    def ask(self) -> None:
        """Counts who is about to have this done."""
        with self._lock:
            self.asked += 1

    def __call__(self) -> str:
        name = threading.current_thread().name
        with self._lock:
            self.running += 1
            self.peak = max(self.peak, self.running)
            self.names.add(name)
        try:
            assert self.release.wait(DEADLINE)
        finally:
            with self._lock:
                self.running -= 1
        return name

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Has this done, and at /loop tells of the loop."""
        if scope["path"] == "/loop":
            await respond(send, threading.current_thread().name.encode())
            return
        self.ask()
        name = await asyncio.to_thread(self)
        await respond(send, name.encode())


@pytest.fixture
def work() -> Iterator[Work]:
    """What blocks until the test ends, if not before."""
    work = Work()
    yield work
    work.release.set()


def ask_all(connect: Connect, server: EmbeddedServer, count: int) -> list[RawClient]:
    """Sends a request on each of so many connections, which the loops get in turn."""
    opened = [connect(server) for _ in range(count)]
    for client in opened:
        client.send(request())
    return opened


def until_busy(work: Work, asked: int, running: int) -> None:
    """Waits until so many have asked and so many threads are blocked."""
    wait_until(lambda: (work.asked, work.running) == (asked, running), f"{running} threads for {asked} requests")


def names_of(server: EmbeddedServer) -> set[str]:
    """The threads of the executor that the loops share."""
    started = set(threading.enumerate()) - server.threads_before
    return {thread.name for thread in started if thread.name.startswith(OURS)}


def test_all_loops_share_the_threads_of_one_executor(serve: Serve, connect: Connect, work: Work, loop: str) -> None:
    server = serve(work.app, threads=4, app_threads=3, lifespan="off", loop=loop, distribute="round-robin")
    asking = ask_all(connect, server, 12)
    until_busy(work, asked=12, running=3)
    assert len(names_of(server)) == 3
    work.release.set()
    assert {client.read_response().body.decode() for client in asking} <= work.names
    assert work.peak == 3
    assert work.names == names_of(server)


def test_without_a_number_all_loops_have_what_one_would_have(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, connect: Connect, work: Work
) -> None:
    monkeypatch.setattr(defaults, "count_usable_cpus", lambda: 1)
    server = serve(work.app, threads=4, lifespan="off", distribute="round-robin")
    asking = ask_all(connect, server, 12)
    until_busy(work, asked=12, running=5)
    work.release.set()
    assert all(client.read_response().status == 200 for client in asking)
    assert work.peak == 5


def test_one_loop_has_so_many_threads_too(serve: Serve, connect: Connect, work: Work, loop: str) -> None:
    server = serve(work.app, threads=1, app_threads=2, lifespan="off", loop=loop)
    asking = ask_all(connect, server, 4)
    until_busy(work, asked=4, running=2)
    work.release.set()
    assert all(client.read_response().body.startswith(OURS.encode()) for client in asking)
    assert work.peak == 2


@pytest.mark.parametrize(("cpus", "size"), [(1, 5), (8, 12), (28, 32), (64, 32)])
def test_the_default_is_asyncios_with_the_cpus_that_may_be_used(
    monkeypatch: pytest.MonkeyPatch, cpus: int, size: int
) -> None:
    monkeypatch.setattr(defaults, "count_usable_cpus", lambda: cpus)
    assert app_threads_of(threads=2).size == size
    assert app_threads_of(threads=2, app_threads=3).size == 3


def app_threads_of(**settings: Any) -> AppThreads:
    threads = make_app_threads(Config("main:app", **settings))
    assert threads is not None
    return threads


@pytest.mark.parametrize(
    ("threads", "app_threads", "tokens"),
    [(4, None, 10), (3, None, 14), (64, None, 1), (4, 10, 3), (4, 1, 1), (1, 7, 7)],
)
def test_the_loops_divide_what_anyio_may_have(threads: int, app_threads: int | None, tokens: int) -> None:
    assert app_threads_of(threads=threads, app_threads=app_threads).anyio_tokens == tokens


def test_one_loop_without_a_number_is_left_alone(serve: Serve, connect: Connect) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        tokens = anyio.to_thread.current_default_thread_limiter().total_tokens
        name = await asyncio.to_thread(lambda: threading.current_thread().name)
        await respond(send, f"{tokens:g} {name}".encode())

    tokens, name = connect(serve(app, threads=1, lifespan="off")).get().body.decode().split()
    assert tokens == "40"
    assert not name.startswith(OURS)


@pytest.mark.usefixtures("no_stalls")
def test_starlettes_sync_endpoints_on_all_loops_are_limited_together(
    serve: Serve, connect: Connect, work: Work, loop: str
) -> None:
    def endpoint(request: Request) -> PlainTextResponse:
        return PlainTextResponse(work())

    app = Starlette(routes=[Route("/", endpoint)])

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            work.ask()
        await app(scope, receive, send)

    server = serve(counted, threads=4, app_threads=6, loop=loop, distribute="round-robin")
    asking = ask_all(connect, server, 16)
    # Two of the six for each loop, rounded up.
    until_busy(work, asked=16, running=8)
    work.release.set()
    assert all(client.read_response().status == 200 for client in asking)
    assert work.peak == 8


TOKENS = """
import sys
# Nothing else has imported it.
assert "anyio" not in sys.modules
{on_import}

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        {on_start_up}
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
        return await send({{"type": "lifespan.shutdown.complete"}})
    from anyio.to_thread import current_default_thread_limiter
    tokens = str(current_default_thread_limiter().total_tokens).encode()
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(tokens))]}})
    await send({{"type": "http.response.body", "body": tokens}})
"""
IMPORT = "import anyio.to_thread"
SET = "anyio.to_thread.current_default_thread_limiter().total_tokens = {}"


@pytest.mark.parametrize(
    ("on_import", "on_start_up", "tokens"),
    [
        (IMPORT, "", "10"),
        ("", IMPORT, "10"),
        (IMPORT, SET.format(7), "7"),
        ("", f"{IMPORT}; {SET.format(7)}", "7"),
        (IMPORT, SET.format(40), "40"),
        # Too late to be noticed.
        ("", "", "40"),
    ],
    ids=["import", "late", "own", "late-own", "own-like-anyios", "later"],
)
def test_an_applications_own_limit_comes_first(tmp_path: Path, on_import: str, on_start_up: str, tokens: str) -> None:
    code = TOKENS.format(on_import=on_import, on_start_up=on_start_up)
    (tmp_path / "limited.py").write_text(code)
    options = ("--threads", "4", "--app-instance", "shared", "--lifespan", "on", "--distribute", "round-robin")
    with ServerProcess("limited:app", *options, cwd=tmp_path) as server, clients() as connect:
        assert [connect(server).get().body.decode() for _ in range(4)] == [tokens] * 4
        assert server.stop() == 0


def name_of_thread() -> str:
    return threading.current_thread().name


async def telling(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the names of its loop's thread and of the executor's."""
    await respond(send, f"{name_of_thread()} {await asyncio.to_thread(name_of_thread)}".encode())


def test_an_applications_own_executor_comes_first(serve: Serve, connect: Connect, loop: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            return await telling(scope, receive, send)
        await receive()
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1, thread_name_prefix="mine"))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return await send({"type": "lifespan.shutdown.complete"})

    server = serve(app, threads=2, loop=loop)
    assert connect(server).get().body.decode().split()[1].startswith("mine")


def loop_with_executor() -> asyncio.AbstractEventLoop:
    """A factory of loops that have an executor."""
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(1, thread_name_prefix="factorys"))
    return loop


@pytest.mark.parametrize(("app_threads", "prefix"), [(None, "factorys"), (1, OURS)])
def test_the_executor_of_a_factory_of_loops_is_kept_unless_there_is_a_number(
    serve: Serve, connect: Connect, app_threads: int | None, prefix: str
) -> None:
    factory = f"{__name__}:{loop_with_executor.__name__}"
    server = serve(telling, threads=2, app_threads=app_threads, loop=factory, lifespan="off")
    assert connect(server).get().body.decode().split()[1].startswith(prefix)


def test_a_programs_loop_keeps_its_executor(error_log: ErrorLog) -> None:
    def ask(server: Server) -> dict[str, str]:
        answers: dict[str, str] = {}

        def have_both_answered() -> bool:
            client = RawClient(*server.addresses[0])
            loop, helper = client.get().body.decode().split()
            client.close()
            answers[loop] = helper
            return len(answers) == 2

        wait_until(have_both_answered, "both loops to answer")
        return answers

    async def program() -> dict[str, str]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(4, thread_name_prefix="programs"))
        server = Server(
            Config(telling, port=0, threads=2, app_threads=1, lifespan="off", log_config=None, distribute="round-robin")
        )
        await server.startup()
        answers = await asyncio.to_thread(ask, server)
        await server.shutdown()
        # The program's goes on.
        assert (await asyncio.to_thread(name_of_thread)).startswith("programs")
        return answers

    answers = asyncio.run(program())
    assert answers[threading.current_thread().name].startswith("programs")
    assert answers["threadserve-2"].startswith(OURS)


class Mortal(Work):
    """At /die the loop is killed; at /leave this is begun, which nobody waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Any] = []

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers at the other paths with the names of its loop's thread and of the executor's."""
        if scope["path"] == "/die":
            self.kept.append(start_killer())
            await asyncio.Event().wait()
        if scope["path"] == "/leave":
            self.kept.append(asyncio.get_running_loop().run_in_executor(None, self))
        await (super().app if scope["path"] == "/work" else telling)(scope, receive, send)


@pytest.fixture
def mortal() -> Iterator[Mortal]:
    """An application whose loops can be killed."""
    app = Mortal()
    yield app
    app.release.set()


def kill(client: RawClient, errors: ErrorLog) -> None:
    """Has the loop of a client's connection killed."""
    client.send(request("GET", "/die"))
    errors.expect(SystemExit, "died")
    errors.expect(text="Cut off 1 request at once")
    client.close()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_loop_that_dies_leaves_the_threads_to_the_others(
    serve: Serve, connect: Connect, error_log: ErrorLog, mortal: Mortal, threads: int, loop: str
) -> None:
    server = serve(
        mortal.app,
        threads=threads,
        app_threads=2,
        lifespan="off",
        loop=loop,
        distribute="round-robin",
        release_idle=False,
    )
    clients: dict[bytes, RawClient] = {}

    def have_one_for_each_loop() -> bool:
        client = connect(server)
        clients.setdefault(client.get().body.split()[0], client)
        return len(clients) == threads

    # A loop that the system does not run for a while gets no connection in its turn.
    wait_until(have_one_for_each_loop, "a connection to each loop")
    victim, *others = clients.values()
    victim.get("/leave")
    for other in others:
        other.send(request("GET", "/work"))
    wait_until(lambda: mortal.running == threads, "the threads to be at work")
    kill(victim, error_log)
    mortal.release.set()
    for other in others:
        assert other.read_response().body.startswith(OURS.encode())
    # The successor has them too, and what the dead one had begun has ended, of which nobody is told.
    answers: dict[bytes, bytes] = {}

    def have_all_answered() -> bool:
        client = connect(server)
        name, helper = client.get().body.split()
        answers[name] = helper
        client.close()
        return len(answers) == threads

    wait_until(have_all_answered, "all loops to answer")
    assert answers.keys() == clients.keys()
    assert all(name.startswith(OURS.encode()) for name in answers.values())
    wait_until(lambda: mortal.running == 0, "the end of the work")


@pytest.mark.parametrize("threads", [1, 2])
def test_a_loop_that_ends_in_order_waits_for_what_it_has_begun(
    serve: Serve, connect: Connect, work: Work, threads: int, loop: str
) -> None:
    begun: list[asyncio.Future[str]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            begun.append(asyncio.get_running_loop().run_in_executor(None, work))
            return await respond(send)
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        work.release.set()
        return await send({"type": "lifespan.shutdown.complete"})

    server = serve(app, threads=threads, app_threads=1, loop=loop)
    connect(server).get()
    wait_until(lambda: work.running == 1, "the work to begin")
    server.stop()
    assert begun[0].result() == f"{OURS}0"


def test_threads_that_are_shared_work_for_the_copy_of_who_asks(tmp_path: Path) -> None:
    (tmp_path / "copied.py").write_text("""
import asyncio, pickle, threading
class Item: pass
def pickled():
    return f"{type(pickle.loads(pickle.dumps(Item()))) is Item} {threading.current_thread().name}"
async def app(scope, receive, send):
    body = f"{threading.current_thread().name} {await asyncio.to_thread(pickled)}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
""")
    options = ("--threads", "3", "--app-threads", "1", "--lifespan", "off", "--distribute", "round-robin")
    with ServerProcess("copied:app", *options, cwd=tmp_path) as server, clients() as connect:
        answers = {connect(server).get().body.decode() for _ in range(9)}
        assert server.stop() == 0
    assert answers == {f"threadserve-{number} True {OURS}0" for number in (1, 2, 3)}


Executors = tuple[LoopExecutor, LoopExecutor]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """A pool of one thread."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def executors(pool: ThreadPoolExecutor) -> Executors:
    """Those of two loops."""
    return LoopExecutor(pool, 1), LoopExecutor(pool, 1)


def test_a_call_has_its_arguments_result_and_error(executors: Executors) -> None:
    executor, _ = executors

    def divide(number: int, *, by: int) -> float:
        return number / by

    assert executor.submit(divide, 3, by=2).result(DEADLINE) == 1.5
    with pytest.raises(ZeroDivisionError):
        executor.submit(divide, 3, by=0).result(DEADLINE)
    with pytest.raises(SystemExit):
        executor.submit(exit_with, 3).result(DEADLINE)
    assert list(executor.map(abs, [-1, 2])) == [1, 2]


def exit_with(code: int) -> None:
    raise SystemExit(code)


def test_an_executor_that_is_shut_down_takes_nothing_and_the_other_goes_on(executors: Executors) -> None:
    one, other = executors
    one.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        one.submit(abs, 1)
    assert other.submit(abs, -2).result(DEADLINE) == 2


def begun(executor: LoopExecutor, work: Work) -> "Future[str]":
    """A call that blocks the pool's thread."""
    future = executor.submit(work)
    wait_until(lambda: work.running == 1, "the call to begin")
    return future


def test_an_executor_waits_for_its_own_calls_only(executors: Executors, work: Work) -> None:
    one, other = executors
    future = begun(one, work)
    # With another's call at work.
    other.shutdown()
    order: list[str] = []
    future.add_done_callback(lambda done: order.append("told"))

    def shut_down() -> None:
        one.shutdown()
        order.append("shut down")

    waiting = threading.Thread(target=shut_down)
    waiting.start()
    one.shutdown(wait=False)
    work.release.set()
    waiting.join(DEADLINE)
    assert order == ["told", "shut down"]


def test_an_executor_does_not_wait_for_calls_that_were_cancelled(executors: Executors, work: Work) -> None:
    one, other = executors
    begun(one, work)
    first, second = other.submit(abs, 1), other.submit(abs, 2)
    assert first.cancel()
    other.shutdown(cancel_futures=True)
    with pytest.raises(CancelledError):
        second.result(DEADLINE)
    assert work.running == 1


def test_what_was_submitted_before_runs_unless_it_is_cancelled(executors: Executors, work: Work) -> None:
    one, other = executors
    begun(one, work)
    made: list[int] = []
    first, second = one.submit(made.append, 1), one.submit(made.append, 2)
    assert first.cancel()
    one.shutdown(wait=False)
    work.release.set()
    second.result(DEADLINE)
    other.submit(abs, 1).result(DEADLINE)
    assert made == [2]


def test_the_end_does_not_wait_for_a_thread_that_is_stuck(work: Work) -> None:
    threads = app_threads_of(threads=2, app_threads=1)
    loop = asyncio.new_event_loop()
    threads.share_threadsafe(loop)
    future = loop.run_in_executor(None, work)
    wait_until(lambda: work.running == 1, "the call to begin")
    loop.close()
    assert threads.stop(0.01) is False
    work.release.set()
    assert threads.stop(DEADLINE) is True
    assert not future.done()


def test_calls_of_a_loop_that_is_closed_are_not_told_of(error_log: ErrorLog, loop: str, work: Work) -> None:
    threads = app_threads_of(threads=2, app_threads=1)

    async def leave() -> "asyncio.Future[str]":
        threads.share_threadsafe(asyncio.get_running_loop())
        return asyncio.get_running_loop().run_in_executor(None, work)

    closed = find_loop_factory(loop)()
    future = closed.run_until_complete(leave())
    closed.close()
    work.release.set()
    assert threads.stop(DEADLINE) is True
    assert not future.done()
