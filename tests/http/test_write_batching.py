"""What is sent in one turn of a loop leaves together, and no end of a connection comes before it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from support.apps import body, hello, respond, start
from support.clock import Clock
from support.memory_transport import MemoryTransport, opened, pass_turns, serving
from support.raw_client import request
from support.websocket_client import opening

from threadserve.config import Config
from threadserve.http.bounds import Bounds
from threadserve.threads.loop_parts import LoopParts
from threadserve.types import Receive, Scope, Send

FOREVER = 3600.0
BLOCK = 0.01
# More than a loop that holds nothing sends before it looks how much a turn sends, and a crowd.
ENOUGH = 100
# A busy machine blocks loops as well.
clock = Clock()
HOLDS = Bounds(batch_seconds=FOREVER, blocked_seconds=FOREVER, clock=clock)
NOTICES = replace(HOLDS, blocked_seconds=BLOCK / 2, unbatched_seconds=FOREVER)
HASTY_BUT_NOTICES = replace(NOTICES, batch_seconds=BLOCK / 10)
HASTENS = replace(HOLDS, batch_seconds=0)
End = Callable[[MemoryTransport], None]


class Site:
    """The connections of one loop. The application notes at each request how many answers had left by then."""

    def __init__(self, bounds: Bounds) -> None:
        self._loop: LoopParts = serving(Config(self.app), bounds)
        self._transports: list[MemoryTransport] = []
        self._had_left: list[int] = []

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._had_left.append(sum(transport.writes for transport in self._transports))
        if scope["path"] == "/blocking":
            clock.elapse(BLOCK)
        await hello(scope, receive, send)
        if scope["path"] == "/blocking-after":
            clock.elapse(BLOCK)

    async def ask(self, count: int, last: str = "/last") -> list[int]:
        """Has so many requests come in one turn, each by a connection of its own; returns what was noted at them."""
        self._transports = [opened(self._loop) for _ in range(count)]
        self._had_left.clear()
        for transport in self._transports[:-1]:
            transport.protocol.data_received(request())
        self._transports[-1].protocol.data_received(request("GET", last))
        await pass_turns()
        assert [transport.writes for transport in self._transports] == [1] * count
        return list(self._had_left)

    async def crowd(self) -> None:
        """Has the loop hold what is sent in its next turns."""
        await crowd(self._loop)


async def crowd(loop: LoopParts) -> None:
    """Has so much sent that the loop looks at the next turn, then in one turn that it holds what is sent in others."""
    for _ in range(2):
        for _ in range(ENOUGH):
            opened(loop).protocol.data_received(request())
        await pass_turns()


def test_answers_leave_at_once_where_one_comes_in_a_turn() -> None:
    async def main() -> None:
        site = Site(HOLDS)
        for _ in range(ENOUGH):
            assert await site.ask(1) == [0]
        assert await site.ask(2) == [0, 1]

    asyncio.run(main())


def test_answers_leave_together_as_many_as_came_in_the_last_turn_and_few_by_halves() -> None:
    async def main() -> None:
        site = Site(HOLDS)
        await site.crowd()
        assert await site.ask(20) == [0] * 20
        assert await site.ask(24) == [0] * 20 + [20] * 4
        assert await site.ask(7) == [0] * 7
        assert await site.ask(7) == [0] * 4 + [4] * 3
        assert await site.ask(2) == [0, 0]
        assert await site.ask(2) == [0, 0]
        assert await site.ask(1) == [0]
        assert await site.ask(3) == [0, 1, 2]

    asyncio.run(main())


@pytest.mark.parametrize("count", range(2, 12))
def test_what_comes_in_every_turn_is_noticed(count: int) -> None:
    async def main() -> None:
        site = Site(HOLDS)
        for _ in range(ENOUGH):
            last = await site.ask(count)
        assert last[:2] == [0, 0]

    asyncio.run(main())


def test_answers_leave_together_after_a_pause() -> None:
    async def main() -> None:
        site = Site(NOTICES)
        await site.crowd()
        clock.elapse(2 * BLOCK)
        assert await site.ask(20) == [0] * 20
        assert await site.ask(20) == [0] * 20

    asyncio.run(main())


def test_answers_leave_one_by_one_where_they_have_taken_their_time() -> None:
    async def main() -> None:
        site = Site(HASTENS)
        await site.crowd()
        assert await site.ask(20) == list(range(20))

    asyncio.run(main())


@pytest.mark.parametrize("last", ["/blocking", "/blocking-after"])
def test_nothing_is_held_after_a_turn_that_was_blocked(last: str) -> None:
    async def main() -> None:
        site = Site(NOTICES)
        await site.crowd()
        assert await site.ask(20, last) == [0] * 20
        for _ in range(3):
            assert await site.ask(ENOUGH) == list(range(ENOUGH))

    asyncio.run(main())


def test_nothing_is_held_behind_an_application_that_blocks_and_answers_at_once() -> None:
    async def main() -> None:
        site = Site(HASTY_BUT_NOTICES)
        await site.crowd()
        await site.ask(20, "/blocking")
        for _ in range(3):
            assert await site.ask(ENOUGH) == list(range(ENOUGH))

    asyncio.run(main())


def test_body_that_is_not_sent_does_not_count_for_the_next_answer() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await start(send)
            for _ in range(4):
                await body(send, b"x" * 30_000, more=True)
            await body(send)
        else:
            await respond(send, status=302)

    async def main() -> None:
        transport = opened(serving(Config(app), HOLDS))
        transport.protocol.data_received(request("HEAD"))
        await pass_turns()
        transport.protocol.data_received(request())
        await pass_turns()
        assert transport.written.count(b"HTTP/1.1 ") == 2
        assert transport.lists == 0

    asyncio.run(main())


def test_large_body_for_a_connection_that_is_lost_is_not_written() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        transports[0].close()
        await body(send, b"x" * 100_000)

    async def main() -> None:
        transports.append(opened(serving(Config(app), HOLDS)))
        transports[0].protocol.data_received(request())
        await pass_turns()

    transports: list[MemoryTransport] = []
    asyncio.run(main())
    assert transports[0].lists == 0


class BrokenTransport(MemoryTransport):
    """Writes nothing."""

    def write(self, data: Any) -> None:
        raise RuntimeError("unable to write")


def test_write_that_fails_costs_the_others_nothing() -> None:
    async def main() -> None:
        failures: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, failure: failures.append(failure))
        await crowd(loop := serving(Config(hello), HOLDS))
        broken, whole = opened(loop, BrokenTransport), opened(loop)
        for transport in (broken, whole):
            transport.protocol.data_received(request())
        await pass_turns()
        assert b" 200 " in whole.written
        assert broken.is_closing()
        assert [str(failure["exception"]) for failure in failures] == ["unable to write"]

    asyncio.run(main())


def half_close(transport: MemoryTransport) -> None:
    if not transport.protocol.eof_received():
        transport.close()


def be_aborted(transport: MemoryTransport) -> None:
    transport.protocol.abort()


def be_refused(transport: MemoryTransport) -> None:
    transport.protocol.data_received(b"GET / HTTP/1.1\r\n bad\r\n\r\n")


@pytest.mark.parametrize("end", [half_close, be_aborted, be_refused])
def test_answer_that_is_held_leaves_before_the_end_of_its_connection(end: End) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/held":
            # In the same turn as the answer, and before what is held leaves at its end.
            asyncio.get_running_loop().call_soon(end, transports[0])
        await respond(send, b"answer")
        written.extend(transport.writes for transport in transports)

    async def main() -> None:
        await crowd(loop := serving(Config(app), HOLDS))
        transports.append(opened(loop))
        transports[0].protocol.data_received(request("GET", "/held"))
        await pass_turns()

    transports: list[MemoryTransport] = []
    written: list[int] = []
    asyncio.run(main())
    assert written == [0]
    assert b"\r\n\r\nanswer" in transports[0].written


def test_last_answer_after_a_half_close_leaves_before_the_end_of_its_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/waits":
            await may_go_on.wait()
        await hello(scope, receive, send)

    async def main() -> None:
        await crowd(loop := serving(Config(app), HOLDS))
        transport = opened(loop)
        transport.protocol.data_received(request("GET", "/waits") + request("GET", "/last"))
        assert transport.protocol.eof_received()
        may_go_on.set()
        # Which keeps the loop crowded while the last request is read.
        await crowd(loop)
        assert transport.is_closing()
        assert 0 < transport.written.index(b"/waits") < transport.written.index(b"/last")

    may_go_on = asyncio.Event()
    asyncio.run(main())


def test_answer_that_is_held_leaves_before_a_body_that_is_too_long_to_be_read_past_ends_its_connection() -> None:
    async def main() -> None:
        await crowd(loop := serving(Config(hello), replace(HOLDS, max_discard_bytes=10)))
        transport = opened(loop)
        transport.protocol.data_received(request("POST", "/held", "Content-Length: 1000") + b"x")
        transport.protocol.data_received(b"x" * 100)
        await pass_turns()
        assert transport.written.endswith(b"/held")

    asyncio.run(main())


def test_connections_whose_answers_were_held_are_answered_again() -> None:
    async def main() -> None:
        await crowd(loop := serving(Config(hello), HOLDS))
        transports = [opened(loop) for _ in range(20)]
        for count in (1, 2, 3):
            for transport in transports:
                transport.protocol.data_received(request())
            await pass_turns()
            assert [transport.writes for transport in transports] == [count] * 20

    asyncio.run(main())


def test_empty_first_part_is_no_piece_of_a_large_write() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, headers=[(b"content-length", b"100000")])
        await body(send, more=True)
        await body(send, b"x" * 100_000)

    async def main() -> None:
        await crowd(loop := serving(Config(app), HOLDS))
        transport = opened(loop)
        transport.protocol.data_received(request())
        await pass_turns()
        assert transport.written.count(b"x" * 100_000) == 1
        assert transport.lists == 1

    asyncio.run(main())


def test_answer_that_is_held_leaves_before_the_next_request_becomes_a_websocket() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        await hello(scope, receive, send)

    async def main() -> bytes:
        await crowd(loop := serving(Config(app), HOLDS))
        transport = opened(loop)
        transport.protocol.data_received(request("GET", "/1") + request("GET", "/2") + opening("/socket"))
        await pass_turns()
        return bytes(transport.written)

    written = asyncio.run(main())
    assert 0 < written.index(b"/1") < written.index(b"/2") < written.index(b"HTTP/1.1 101 ")
