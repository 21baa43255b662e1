"""Idle connections on their way from loop to loop, in every order in which things may happen.

The acceptor and the loops are in the test's thread, which has each of them do one thing at a time: see
`support.stepped_server`. What is promised: of the requests that a client sends as a whole each is answered once, in
order, whatever happens to its connection between them.

What may be lost is said by `Walk.check`: the connections that a loop has when it dies.
"""

import asyncio
import errno
import gc
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.clock import StallClock
from support.http2_client import H2Client
from support.stepped_server import (
    ENOUGH,
    UNTIMED,
    Asked,
    Echo,
    SteppedClient,
    SteppedServer,
    answer_to,
    descriptors,
    exit_loop,
)
from support.waiting import wait_until

from threadserve.http import idle_release
from threadserve.http.bounds import Bounds
from threadserve.runtime.loops import find_loop_factory
from threadserve.threads import acceptor as acceptor_module
from threadserve.threads import idle_connections as idle_module

WALKS = settings(max_examples=30, suppress_health_check=list(HealthCheck))
LOOPS = 3
# So many seconds are enough for what waits for hardly any time to pass.
SOON = 5.0
CLIENTS = 4
# Requests, by manner, body and framing: see `Echo` and `SteppedClient.ask`.
REQUESTS = (
    ("now", b"", ""),
    ("now", b"", "blank"),
    ("later", b"", ""),
    ("stream", b"", ""),
    ("after", b"", ""),
    ("now", b"body" * 5, "length"),
    ("later", b"body" * 300, "length"),
    ("now", b"chunk" * 4, "chunks"),
    ("stream", b"chunk" * 100, "chunks"),
    ("early", b"unread" * 3, "length"),
    ("close", b"", ""),
    ("now", b"", "old"),
)
# What goes on in a walk, as often as it stands here.
USUAL = (
    *("ask",) * 8,
    *("send",) * 4,
    *("turn",) * 10,
    *("settle",) * 2,
    *("step",) * 8,
    *("release",) * 5,
    *("grant",) * 3,
    *("meanwhile",) * 3,
    "connect",
    "read",
    "stall",
    "half_close",
    "close",
    "reset",
)
DEATHS = ("kill", "kill", "die", "forget", "forget", "bury")
# What a client or a loop does while a connection is given back.
MOMENTS = ("send", "byte", "half_close", "close", "reset", "step", "turn", "serve")


class Faults(logging.Handler):
    """What was logged that is more than debugging, and not about what a client has sent."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def claim(self, *beginnings: str) -> None:
        """Has lines that begin so be no faults."""
        self.lines = [line for line in self.lines if not line.startswith(beginnings)]


@pytest.fixture(autouse=True)
def no_handshakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client is amidst of connecting when the acceptor stops to listen."""
    monkeypatch.setattr(acceptor_module, "HANDSHAKE_SECONDS", 0.001)


@pytest.fixture
def faults() -> Iterator[Faults]:
    """Nothing is logged."""
    handler = Faults()
    loggers = [logging.getLogger("threadserve.error"), logging.getLogger("asyncio")]
    for logger in loggers:
        logger.addHandler(handler)
    yield handler
    for logger in loggers:
        logger.removeHandler(handler)
    assert handler.lines == []


@pytest.fixture(scope="module", autouse=True)
def nothing_left() -> Iterator[None]:
    """Nothing is left for the garbage collector to complain of."""
    yield
    gc.collect()


@contextmanager
def no_descriptors_left(kind: str) -> Iterator[None]:
    # uvloop's first loop of a process has some that stay.
    first = find_loop_factory(kind)()
    first.run_until_complete(asyncio.sleep(0))
    first.close()
    before = descriptors()
    yield
    assert descriptors() == before


# Random walks.


class Action(NamedTuple):
    """Something that happens: to whom, and what numbers tell of it."""

    name: str
    who: int
    what: int
    much: int


def walks(names: tuple[str, ...]) -> st.SearchStrategy[list[Action]]:
    numbers = st.integers(0, 119)
    action = st.builds(Action, st.sampled_from(names), numbers, numbers, numbers)
    return st.lists(action, min_size=40, max_size=160)


class Walk:
    """A server and its clients, to whom one action after another happens."""

    def __init__(self, kind: str, clock: StallClock) -> None:
        self.app = Echo()
        self.clock = clock
        self.server = SteppedServer(self.app, kind, LOOPS)
        self.clients = [SteppedClient.of(self.server) for _ in range(CLIENTS)]
        self.numbers = 0
        self.rounds = 0
        # What each client had asked and been answered when the shutdown began.
        self.due: dict[SteppedClient, int] = {}

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            getattr(self, action.name)(action)
            self.check_places()

    # What may happen.

    def connect(self, action: Action) -> None:
        if not self.server.is_stopping and len(self.clients) < 3 * CLIENTS:
            self.clients.append(SteppedClient.of(self.server))

    def ask(self, action: Action) -> None:
        client = self.client(action)
        self.numbers += 1
        manner, data, framing = REQUESTS[action.what % len(REQUESTS)]
        client.ask(self.numbers, manner, data, framing=framing)
        if action.much % 4:
            self.send(action)

    def die(self, action: Action) -> None:
        self.numbers += 1
        self.client(action).ask(self.numbers, "die")

    def send(self, action: Action) -> None:
        client = self.client(action)
        left = len(client.outgoing)
        client.send((1, left // 2, left - 1, left, left, left)[action.much % 6])

    def read(self, action: Action) -> None:
        self.client(action).read()

    def half_close(self, action: Action) -> None:
        self.end_sending(self.client(action))

    def close(self, action: Action) -> None:
        self.leave(self.client(action))

    def reset(self, action: Action) -> None:
        self.client(action).reset()

    def turn(self, action: Action) -> None:
        for _ in range(1 + action.much % 3):
            self.server.loops[action.who % LOOPS].turn()

    def settle(self, action: Action) -> None:
        self.server.settle(3)

    def step(self, action: Action) -> None:
        self.server.step()

    def release(self, action: Action) -> None:
        self.server.loops[action.who % LOOPS].server.release_idle_threadsafe()

    def grant(self, action: Action) -> None:
        credit = 1000 if action.much % 4 else 0
        self.server.loops[action.who % LOOPS].server.grant_threadsafe(credit, takes_busy=bool(action.what % 2))

    def stall(self, action: Action) -> None:
        self.clock.pass_stall()

    def kill(self, action: Action) -> None:
        self.server.kill(action.who % LOOPS)

    def forget(self, action: Action) -> None:
        self.server.forget(action.who % LOOPS)

    def bury(self, action: Action | None = None) -> None:
        for number in range(LOOPS):
            self.server.forget(number)
        self.server.bury_dead()

    def stop(self, action: Action) -> None:
        if self.server.is_stopping:
            return
        for client in self.clients:
            client.read()
            self.due[client] = min(len(client.bodies()) + 1, len(client.complete()))
        self.server.stop()

    def meanwhile(self, action: Action) -> None:
        """Has something happen while the next connection is given back."""
        moment = MOMENTS[action.what % len(MOMENTS)]

        def act(address: Any) -> None:
            client = next(client for client in self.clients if client.address == address)
            if moment in ("send", "byte"):
                if not client.outgoing:
                    self.numbers += 1
                    client.ask(self.numbers)
                client.send(1 if moment == "byte" else len(client.outgoing))
            elif moment == "half_close":
                self.end_sending(client)
            elif moment == "close":
                self.leave(client)
            elif moment == "reset":
                client.reset()
            elif moment == "step":
                self.server.step()
            elif moment == "turn":
                self.server.turn_all()
            else:
                self.server.settle(5)

        (self.server.before_giving if action.much % 2 else self.server.after_giving).append(act)

    def end_sending(self, client: SteppedClient) -> None:
        client.read()
        if client.has_begun_another() and len(client.bodies()) < len(client.complete()):
            # See `test_a_request_that_is_cut_short_ends_with_its_client`.
            client.send()
        client.half_close()

    def leave(self, client: SteppedClient) -> None:
        if client.has_begun_another():
            # For the same reason.
            client.reset()
        else:
            client.close()

    def client(self, action: Action) -> SteppedClient:
        return self.clients[action.who % len(self.clients)]

    # What must hold.

    def check_places(self) -> None:
        """No connection is in two places."""
        places = self.server.places()
        assert len(places) == len(set(places))

    def end(self) -> None:
        """Has everything come to its end."""
        server = self.server
        server.before_giving.clear()
        server.after_giving.clear()
        if server.is_stopping:
            wait_until(self.turn_until_stopped, "the loops to end")
        else:
            self.bury()
            for number in range(LOOPS):
                server.loops[number].server.grant_threadsafe(0, takes_busy=False)
            self.go_on()
            # Whoever has not gone yet is still served.
            for client in self.clients:
                if not (client.at_eof or client.is_gone or client.is_half_closed):
                    self.numbers += 1
                    client.ask(self.numbers)
                    client.send()
            self.go_on()
        server.settle()
        for client in self.clients:
            client.read()

    def turn_until_stopped(self) -> bool:
        self.rounds += 1
        self.server.settle(1)
        self.bury()
        for client in self.clients:
            client.read()
            if client.at_eof:
                client.socket.close()
            elif client.has_begun_another() and self.rounds > ENOUGH:
                client.reset()
        return self.server.has_ended()

    def go_on(self) -> None:
        """Turns until everybody has what is due; who does not get that is told by `check`."""
        for _ in range(20):
            self.server.settle(10)
            self.bury()
            for client in self.clients:
                client.read()
            if all(self.has_all(client) for client in self.clients):
                return

    def has_all(self, client: SteppedClient) -> bool:
        if client.is_gone or client.at_eof:
            return True
        complete = client.complete()
        ends = client.is_half_closed or (bool(complete) and complete[-1].is_last)
        return not ends and len(client.bodies()) >= len(complete)

    def check(self) -> None:
        """Everybody has got what is promised.

        Less, but nothing else, have: who has gone, who lost the connection with a loop that died while it had it, and
        whose requests came in a shutdown, after whose beginning each has one answer at least.
        """
        bereaved = self.server.bereaved()
        called = [number for number, _ in self.app.calls]
        assert len(called) == len(set(called))
        for client in self.clients:
            complete = client.complete()
            self.check_calls(client, complete)
            responses = client.responses()
            if responses and responses[-1].status != 200:
                # It was told that the rest of a request did not come, or that a loop died of it.
                status = responses.pop().status
                is_bereaved = client.address in bereaved
                assert (status in (400, 408) and client.has_begun_another()) or (status == 500 and is_bereaved)
            assert [response.status for response in responses] == [200] * len(responses)
            bodies = [response.body for response in responses]
            if len(bodies) > len(complete):
                following = client.asked[len(complete)]
                assert following.is_early
                assert bodies.pop() == following.answer
            assert bodies == [one.answer for one in complete][: len(bodies)]
            if client.is_gone or client.address in bereaved:
                continue
            if self.server.is_stopping:
                assert client.at_eof
                assert len(bodies) >= self.due.get(client, 0)
                continue
            assert len(bodies) == len([one for one in complete if one.answer])
            is_last = bool(complete) and complete[-1].is_last
            # Where a request was not sent to its end, it is waited for.
            if not (client.is_half_closed and client.has_begun_another()):
                assert client.at_eof == (client.is_half_closed or is_last)

    def check_calls(self, client: SteppedClient, complete: list[Asked]) -> None:
        numbers = {one.number for one in client.asked}
        called = [(number, address) for number, address in self.app.calls if number in numbers]
        assert called == sorted(called)
        assert {address for _, address in called} <= {client.address}
        # Of a request whose body is not all there yet the application is called as well.
        known = {one.number for one in complete}
        assert len([number for number, _ in called if number not in known]) <= 1

    def finish(self) -> None:
        """Closes everything."""
        for client in self.clients:
            client.read()
            self.leave(client)
        self.server.settle()
        self.server.close()
        assert self.server.faults() == []


def walk(kind: str, clock: StallClock, faults: Faults, actions: list[Action], *, may_stop: bool = False) -> Walk:
    with no_descriptors_left(kind):
        walked = Walk(kind, clock)
        try:
            walked.perform(actions)
            if may_stop:
                walked.stop(actions[0])
            walked.end()
            walked.check()
        finally:
            walked.finish()
    return walked


@WALKS
@given(actions=walks(USUAL))
def test_nothing_is_lost_on_the_way_from_loop_to_loop(
    loop: str, clock: StallClock, faults: Faults, actions: list[Action]
) -> None:
    walk(loop, clock, faults, actions)
    assert faults.lines == []


@WALKS
@given(actions=walks((*USUAL, *DEATHS)))
def test_a_dying_loop_takes_only_its_own_connections_with_it(
    loop: str, clock: StallClock, faults: Faults, actions: list[Action]
) -> None:
    walk(loop, clock, faults, actions)
    faults.claim("Cut off")


@WALKS
@given(actions=walks((*USUAL, "stop")))
def test_a_shutdown_loses_no_request(loop: str, clock: StallClock, faults: Faults, actions: list[Action]) -> None:
    walk(loop, clock, faults, actions, may_stop=True)
    faults.claim("Refused an HTTP request")


@WALKS
@given(actions=walks((*USUAL, *DEATHS, "stop")))
def test_a_shutdown_survives_the_death_of_loops(
    loop: str, clock: StallClock, faults: Faults, actions: list[Action]
) -> None:
    walk(loop, clock, faults, actions, may_stop=True)
    faults.claim("Cut off", "Refused an HTTP request")


# The sharpest races.

Start = Callable[..., SteppedServer]


@pytest.fixture
def start(loop: str, clock: StallClock, faults: Faults) -> Iterator[Start]:
    """`start(app, **settings)` makes a stepped server, whose descriptors are gone in the end."""
    with no_descriptors_left(loop), ExitStack() as stack:

        def begin(app: Any, **given: Any) -> SteppedServer:
            server = SteppedServer(app, loop, **given)
            stack.callback(lambda: check_faults(server))
            stack.callback(server.close)
            return server

        yield begin


def check_faults(server: SteppedServer) -> None:
    assert server.faults() == []


@contextmanager
def client_of(server: SteppedServer) -> Iterator[SteppedClient]:
    """A client, and in the end a server that has noticed its end."""
    client = SteppedClient.of(server)
    server.settle()
    with client.socket:
        yield client
    server.settle()


def ask_all(server: SteppedServer, client: SteppedClient, number: int, *requests: tuple[str, bytes, str]) -> None:
    """Has requests, with numbers from this one on, sent and answered."""
    for at, (manner, data, framing) in enumerate(requests or (("now", b"", ""),)):
        client.ask(number + at, manner, data, framing=framing)
    client.send()
    expect_answers(server, client)


def expect_answers(server: SteppedServer, client: SteppedClient) -> None:
    """Everything that was asked is answered."""

    def is_answered() -> bool:
        server.settle(5)
        client.read()
        return len(client.bodies()) >= len(client.asked)

    wait_until(is_answered, "the answers", SOON)
    server.settle()
    client.read()
    assert client.bodies() == [one.answer for one in client.asked]


def release_all(server: SteppedServer) -> None:
    """Has every loop give back what is idle; the acceptor does not look yet."""
    for number in range(len(server.loops)):
        server.release(number)


def has_released(server: SteppedServer, client: SteppedClient) -> bool:
    return server.given[-1:] == [client.address]


@pytest.mark.parametrize("requests", [1, 3])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("meanwhile", ["nothing", "serve"])
def test_what_arrives_while_a_connection_is_given_back_is_answered(
    start: Start, moment: str, meanwhile: str, requests: int
) -> None:
    app = Echo()
    server = start(app)
    with client_of(server) as client:
        ask_all(server, client, 1)

        def act(address: Any) -> None:
            assert address == client.address
            for number in range(2, 2 + requests):
                client.ask(number, "later")
            client.send()
            if meanwhile == "serve":
                # It is answered elsewhere before the loop has closed its own end.
                server.settle()
                client.read()
                assert (len(client.bodies()) > 1) == (moment == "after")

        (server.before_giving if moment == "before" else server.after_giving).append(act)
        release_all(server)
        assert has_released(server, client)
        expect_answers(server, client)
        assert app.calls == [(number, client.address) for number in range(1, 2 + requests)]
        ask_all(server, client, 10)


@pytest.mark.parametrize("moment", ["before", "after", "at the acceptor"])
def test_a_request_may_come_in_two_halves_around_the_giving_back(start: Start, moment: str) -> None:
    server = start(Echo())
    with client_of(server) as client:
        ask_all(server, client, 1)
        client.ask(2, data=b"body", framing="length")
        begin = {"before": server.before_giving, "after": server.after_giving}.get(moment)
        if begin is not None:
            begin.append(lambda _: client.send(1))
        release_all(server)
        assert has_released(server, client)
        if begin is None:
            server.step()
            client.send(1)
        server.settle()
        # What has something to be read stays.
        release_all(server)
        assert server.given == [client.address]
        client.send()
        expect_answers(server, client)


@pytest.mark.parametrize("moment", ["before", "after", "at the acceptor"])
@pytest.mark.parametrize("end", ["half_close", "close", "reset"])
@pytest.mark.parametrize("asks", [True, False])
def test_a_client_may_go_while_its_connection_is_given_back(start: Start, moment: str, end: str, asks: bool) -> None:
    app = Echo()
    server = start(app)
    with client_of(server) as client:
        ask_all(server, client, 1)

        def act(_: Any = None) -> None:
            if asks:
                client.ask(2, "later")
                client.send()
            getattr(client, end)()

        if moment == "before":
            server.before_giving.append(act)
        elif moment == "after":
            server.after_giving.append(act)
        release_all(server)
        assert has_released(server, client)
        if moment == "at the acceptor":
            server.step()
            act()
        server.settle()
        assert server.places() == []
        if end == "half_close":
            client.read()
            assert client.bodies() == [one.answer for one in client.asked]
            assert client.at_eof
        assert len(app.calls) <= 1 + asks


def test_a_loop_keeps_what_the_acceptor_does_not_take(start: Start) -> None:
    app = Echo()
    server = start(app)
    with client_of(server) as client:
        ask_all(server, client, 1)
        before = descriptors()

        def act(_: Any) -> None:
            server.acceptor.return_queue.close()
            client.ask(2)
            client.ask(3, "later")
            client.send()

        server.before_giving.append(act)
        release_all(server)
        assert server.given == []
        expect_answers(server, client)
        assert app.calls == [(number, client.address) for number in (1, 2, 3)]
        assert descriptors() == before
        ask_all(server, client, 4)


def test_without_descriptors_a_connection_stays_and_is_closed_in_time(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = replace(UNTIMED, tick_seconds=0.01)
    server = start(Echo(), bounds=bounds, timeout_keep_alive=1)
    with client_of(server) as client:
        ask_all(server, client, 1)

        def fail(descriptor: int) -> int:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr(idle_release, "os", SimpleNamespace(dup=fail))
        release_all(server)
        assert server.given == []
        ask_all(server, client, 2, ("later", b"", ""), ("now", b"body", "chunks"))
        release_all(server)
        assert server.given == []

        def is_closed() -> bool:
            server.settle(1)
            client.read()
            return client.at_eof

        wait_until(is_closed, "the end of an idle connection")


class Ahead:
    """The time, and as much more as the test says."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._seconds

    def elapse(self, seconds: float) -> None:
        self._seconds += seconds


@pytest.fixture
def idle_clock(monkeypatch: pytest.MonkeyPatch) -> Ahead:
    """The time of the idle connections."""
    clock = Ahead()
    for module in (idle_module, acceptor_module, idle_release):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.mark.parametrize("lies_in", ["the box", "the acceptor"])
@pytest.mark.parametrize("asks", [True, False])
def test_a_deadline_passes_while_a_connection_is_given_back(
    start: Start, idle_clock: Ahead, lies_in: str, asks: bool
) -> None:
    server = start(Echo(), timeout_keep_alive=100)
    with client_of(server) as client:
        ask_all(server, client, 1)
        release_all(server)
        server.turn_all()
        assert has_released(server, client)
        if lies_in == "the acceptor":
            server.step()
        assert server.places() == [client.address]
        # A deadline counts from a tick of the loop.
        idle_clock.elapse(UNTIMED.tick_seconds + 100 + idle_module.DEADLINE_TICK_SECONDS)
        if asks:
            # What has come in time is not too late only because nobody looked.
            ask_all(server, client, 2)
            return
        server.step()
        client.read()
        assert client.at_eof
        assert server.places() == []


def test_a_connection_is_not_closed_before_its_deadline(start: Start, idle_clock: Ahead) -> None:
    server = start(Echo(), timeout_keep_alive=100)
    with client_of(server) as client:
        ask_all(server, client, 1)
        release_all(server)
        server.step()
        idle_clock.elapse(UNTIMED.tick_seconds + 50)
        server.settle()
        assert server.places() == [client.address]
        ask_all(server, client, 2)


@pytest.mark.parametrize("lies_in", ["the box", "the acceptor"])
def test_what_has_arrived_when_the_shutdown_begins_is_answered(
    start: Start, idle_clock: Ahead, lies_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The acceptor does not look once more before it ends.
    monkeypatch.setattr(acceptor_module, "HANDSHAKE_SECONDS", 0.0)
    server = start(Echo(), timeout_keep_alive=100)
    with client_of(server) as client:
        ask_all(server, client, 1)
        release_all(server)
        if lies_in == "the acceptor":
            server.step()
        assert server.places() == [client.address]
        # It was used so long ago that nothing would have to be under way.
        idle_clock.elapse(UNTIMED.tick_seconds + 50)
        client.ask(2)
        client.send()
        server.stop()
        expect_answers(server, client)
        assert client.at_eof


def test_a_connection_that_has_not_spoken_may_be_http2(start: Start) -> None:
    server = start(Echo(), http2=True)
    with client_of(server) as client:
        release_all(server)
        assert has_released(server, client)
        server.step()
        assert answer_over_http2(server, client) == answer_to(1, b"")


def test_a_connection_that_has_spoken_is_http1(start: Start, faults: Faults) -> None:
    server = start(Echo(), http2=True)
    with client_of(server) as client:
        ask_all(server, client, 1)
        release_all(server)
        assert has_released(server, client)
        server.step()
        refuse_http2(server, client, faults)


# It is given back before its bytes are read.
def test_a_connection_that_has_spoken_is_http1_however_often_it_is_given_back(start: Start, faults: Faults) -> None:
    server = start(Echo(), http2=True, count=1)
    with client_of(server) as client:
        ask_all(server, client, 1)
        release_all(server)
        server.step()
        client.outgoing += PREFACE
        client.send()
        server.step()
        # It is taken over and opened, and before it is read from the loop is to give back what is idle.
        only = server.loops[0]
        only.loop.call_soon(only.server.release_idle_threadsafe)
        server.turn_all(3)
        assert server.given == [client.address] * 2
        refuse_http2(server, client, faults)


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def refuse_http2(server: SteppedServer, client: SteppedClient, faults: Faults) -> None:
    """HTTP/2 is refused in HTTP/1.1."""
    client.outgoing = client.outgoing or PREFACE
    client.send()
    server.settle()
    client.read()
    faults.claim("Refused an HTTP request", "Ended an HTTP/2 connection")
    assert [response.status for response in client.responses()] == [200, 505]
    assert client.at_eof


def answer_over_http2(server: SteppedServer, client: SteppedClient) -> bytes:
    """The answer to the first request of a connection over HTTP/2."""
    speaker = H2Client(client.socket)
    stream = speaker.open("/1/now")
    server.settle()
    return speaker.read(stream).body


def test_a_connection_that_speaks_while_many_are_given_back_is_answered(start: Start) -> None:
    server = start(Echo(), http2=True, count=1)
    with ExitStack() as stack:
        clients = [SteppedClient.of(server) for _ in range(idle_release.RELEASED_PER_TURN + 20)]
        for client in clients:
            stack.enter_context(client.socket)
        server.settle()
        server.loops[0].server.release_idle_threadsafe()
        # Those that do not go in the first turn are read from in it, and were to go in the second.
        for number, client in enumerate(clients):
            client.ask(number, "later")
            client.send()
        server.settle()
        for client in clients:
            expect_answers(server, client)
    server.settle()


# The loop that has given the connection back must have no descriptor of it any more.
def test_a_connection_ends_for_its_client_though_the_loop_that_had_it_is_blocked(start: Start) -> None:
    server = start(Echo())
    with client_of(server) as client:
        ask_all(server, client, 1)

        def block(_: Any) -> None:
            # In the same turn of the loop something blocks it, while the others go on.
            client.ask(2, "close")
            client.send()
            server.settle()
            client.read()
            ended.append((client.bodies(), client.at_eof))

        ended: list[tuple[list[bytes], bool]] = []
        server.after_giving.append(lambda _: blocked.loop.call_soon(block, None))
        blocked = next(each for each in server.loops if each.addresses())
        release_all(server)
        blocked.turn()
        assert ended == [([answer_to(1, b""), answer_to(2, b"")], True)]


@pytest.mark.parametrize("is_asked", [True, False])
def test_what_was_given_back_before_a_loop_dies_is_not_lost_with_it(start: Start, is_asked: bool) -> None:
    app = Echo()
    server = start(app)
    with client_of(server) as client:
        ask_all(server, client, 1)
        number = next(at for at, each in enumerate(server.loops) if each.addresses())
        dying = server.loops[number]
        dying.server.release_idle_threadsafe()
        if is_asked:
            # It is asked before it dies, and answers in dying.
            server.kill(number)
            dying.lost.clear()
        else:
            server.after_giving.append(lambda _: dying.loop.call_soon(exit_loop))
            for _ in range(ENOUGH):
                dying.turn()
        assert dying.is_dead
        assert has_released(server, client)
        assert server.bereaved() == set()
        ask_all(server, client, 2)
        server.forget(number)
        ask_all(server, client, 3)
        server.bury_dead()
        release_all(server)
        ask_all(server, client, 4)
        assert app.calls == [(number, client.address) for number in range(1, 5)]


@pytest.mark.parametrize("turns", [0, 1])
def test_a_connection_that_a_dying_loop_was_handed_is_served_by_another(start: Start, turns: int) -> None:
    app = Echo()
    server = start(app, count=1)
    with client_of(server) as client:
        ask_all(server, client, 1)
        release_all(server)
        server.step()
        client.ask(2)
        client.send()
        server.step()
        assert len(server.loops[0].server.handover) == 1
        if turns:
            # It is opened, which is taken back.
            server.loops[0].turn()
            assert len(server.loops[0].server.handover) == 0
        if server.loops[0].addresses():
            pytest.skip("this loop tells a connection of its transport at once")
        server.kill(0)
        assert server.places() == [client.address]
        server.step()
        server.forget(0)
        server.bury_dead()
        server.step()
        expect_answers(server, client)
        assert app.calls == [(1, client.address), (2, client.address)]


def test_a_loop_that_is_dead_is_handed_nothing(start: Start) -> None:
    server = start(Echo())
    with client_of(server) as client:
        ask_all(server, client, 1)
        release_all(server)
        server.step()
        server.kill(0)
        ask_all(server, client, 2)
        release_all(server)
        server.step()
        server.kill(1)
        client.ask(3)
        client.send()
        server.step()
        assert server.places() == [client.address]
        server.forget(0)
        server.forget(1)
        server.bury_dead()
        expect_answers(server, client)


@pytest.mark.parametrize("is_released", [False, True])
@pytest.mark.parametrize("keep_alive", [5, 75])
def test_a_request_under_way_when_the_shutdown_begins_is_answered(
    start: Start, keep_alive: int, is_released: bool
) -> None:
    bounds = replace(Bounds(), shutdown_tick_seconds=0.01)
    server = start(Echo(), bounds=bounds, timeout_keep_alive=keep_alive, timeout_request_header=10)
    with client_of(server) as client:
        ask_all(server, client, 1)
        if is_released:
            release_all(server)
            assert has_released(server, client)
            server.step()
        server.stop()
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            server.settle(1)
        client.read()
        assert not client.at_eof
        ask_all(server, client, 2)
        assert client.at_eof


# asyncio's `write_eof` raises where the answer has met a closed socket.
@pytest.mark.parametrize("turns", range(1, 9))
def test_a_client_that_has_gone_is_no_error_of_the_application(
    start: Start, turns: int, caplog: pytest.LogCaptureFixture
) -> None:
    server = start(Echo())
    with client_of(server) as client:
        client.ask(1, "later", framing="old")
        client.ask(2)
        client.send()
        server.turn_all(turns)
        client.close()
        server.settle()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


# Its end will not come, since the client's has.
@pytest.mark.parametrize("is_behind_another", [False, True])
def test_a_request_that_is_cut_short_ends_with_its_client(
    start: Start, faults: Faults, is_behind_another: bool
) -> None:
    server = start(Echo(), timeout_graceful_shutdown=0)
    with client_of(server) as client:
        if is_behind_another:
            client.ask(1, "later")
        client.ask(2, data=b"body", framing="length")
        client.send(len(client.outgoing) - 1)
        client.half_close()
        server.settle()
        client.read()
        is_over = client.at_eof
    server.settle()
    loads = [each.server.load_threadsafe() for each in server.loops]
    server.close()
    faults.claim("Cut off")
    assert is_over
    assert loads == [(0, 0), (0, 0)]
