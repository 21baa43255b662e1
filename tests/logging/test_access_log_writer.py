"""The access log from several threads, when it is stopped, and when the console fails."""

import asyncio
import contextvars
import io
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest
from support.access_console import Seen, access, console_handler, entry, errors_seen, line, parent, written
from support.waiting import DEADLINE, wait_until

from threadserve.logging import access_log
from threadserve.logging.access_log import AccessEntry, AccessLog, AccessLogWriter, Moment

pytestmark = pytest.mark.usefixtures("console")


@pytest.fixture
def errors() -> Iterator[Seen]:
    with errors_seen() as seen:
        yield seen


class Batches:
    """Stands in for the writer: keeps what loops hand over."""

    def __init__(self) -> None:
        self.batches: list[list[AccessEntry]] = []
        self.arrived = asyncio.Event()

    def write_threadsafe(self, entries: list[AccessEntry], moments: list[Moment]) -> None:
        self.batches.append(entries)
        self.arrived.set()


def test_a_loop_hands_over_what_it_collected_after_a_while() -> None:
    async def main() -> list[list[AccessEntry]]:
        batches = Batches()
        log = AccessLog(asyncio.get_running_loop(), cast("Any", batches))
        for turn in range(2):
            start = asyncio.get_running_loop().time()
            for number in range(3):
                log.add(entry(3 * turn + number))
            assert len(batches.batches) == turn
            await asyncio.wait_for(batches.arrived.wait(), DEADLINE)
            assert asyncio.get_running_loop().time() - start > access_log.FLUSH_SECONDS / 2
            batches.arrived.clear()
        return batches.batches

    batches = asyncio.run(main())
    assert batches == [[entry(0), entry(1), entry(2)], [entry(3), entry(4), entry(5)]]


def test_flush_hands_over_at_once_and_nothing_twice() -> None:
    async def main() -> list[list[AccessEntry]]:
        batches = Batches()
        log = AccessLog(asyncio.get_running_loop(), cast("Any", batches))
        log.flush()
        log.add(entry(0))
        log.flush()
        log.add(entry(1))
        log.flush()
        await asyncio.sleep(2 * access_log.FLUSH_SECONDS)
        return batches.batches

    assert asyncio.run(main()) == [[entry(0)], [entry(1)]]


def test_lines_of_several_loops_all_arrive_in_their_loops_order(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_log, "CHUNK_LINES", 7)
    writer = AccessLogWriter()
    writer.start()
    loops, requests = 4, 500
    barrier = threading.Barrier(loops, timeout=DEADLINE)

    async def serve(name: int) -> None:
        log = AccessLog(asyncio.get_running_loop(), writer)
        for number in range(requests):
            log.add(entry(f"{name}/{number}"))
            if number % 50 == 0:
                await asyncio.sleep(0)
                log.flush()
        log.flush()

    def run(name: int) -> None:
        barrier.wait()
        asyncio.run(serve(name))

    threads = [threading.Thread(target=run, args=(name,)) for name in range(loops)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    writer.stop()
    lines = stream.getvalue().splitlines(keepends=True)
    for name in range(loops):
        ours = [each for each in lines if f" /{name}/" in each]
        assert ours == [line(f"{name}/{number}") for number in range(requests)]
    assert len(lines) == loops * requests


class Blocking(io.StringIO):
    """A console that takes nothing while `open` is not set."""

    def __init__(self) -> None:
        super().__init__()
        self.is_called = threading.Event()
        self.open = threading.Event()

    def write(self, text: str) -> int:
        self.is_called.set()
        assert self.open.wait(DEADLINE)
        return super().write(text)


def test_a_blocked_console_bounds_what_waits(monkeypatch: pytest.MonkeyPatch, errors: Seen) -> None:
    monkeypatch.setattr(access_log, "MAX_WAITING_LINES", 10)
    access.handlers = [console_handler(stream := Blocking())]
    writer = AccessLogWriter()
    writer.start()
    writer.write_threadsafe([entry(0)])
    assert stream.is_called.wait(DEADLINE)
    for number in range(1, 21):
        writer.write_threadsafe([entry(number), entry(number)])
    stream.open.set()
    writer.stop()
    assert stream.getvalue() == line(0) + "".join(2 * line(number) for number in range(1, 5))
    assert errors.messages == ["Access log: 32 lines dropped, the console or a log handler was too slow"]


def test_after_a_blockage_lines_are_written_again(monkeypatch: pytest.MonkeyPatch, errors: Seen) -> None:
    monkeypatch.setattr(access_log, "MAX_WAITING_LINES", 2)
    access.handlers = [console_handler(stream := Blocking())]
    writer = AccessLogWriter()
    writer.start()
    writer.write_threadsafe([entry(0)])
    assert stream.is_called.wait(DEADLINE)
    for _ in range(3):
        writer.write_threadsafe([entry(1)])
    stream.open.set()
    wait_until(lambda: errors.records, "the warning")
    writer.write_threadsafe([entry(2), entry(2)])
    writer.stop()
    assert stream.getvalue() == line(0) + line(1) + 2 * line(2)
    assert len(errors.records) == 1


class Broken(io.StringIO):
    """A console whose reader has gone, until it is mended."""

    is_broken = True
    name = "<stdout>"

    def write(self, text: str) -> int:
        if self.is_broken:
            raise BrokenPipeError(32, "Broken pipe")
        return super().write(text)


@pytest.mark.parametrize("slow", [False, True])
def test_a_broken_console_does_not_stop_the_writer(
    writer: AccessLogWriter, capsys: pytest.CaptureFixture[str], slow: bool
) -> None:
    access.handlers = [console_handler(stream := Broken())]
    if slow:
        parent.addHandler(Seen())
    for number in range(3):
        writer.write_threadsafe([entry(number)])
    wait_until(lambda: writer._waiting == 0, "the writer to try")
    stream.is_broken = False
    writer.write_threadsafe([entry(3)])
    writer.stop()
    assert stream.getvalue() == line(3)
    assert capsys.readouterr().err == "threadserve: cannot write the log to <stdout>: [Errno 32] Broken pipe\n"


def test_a_closed_console_does_not_stop_the_writer(
    stream: io.StringIO, writer: AccessLogWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    stream.close()
    writer.write_threadsafe([entry(0)])
    wait_until(lambda: writer._waiting == 0, "the writer to try")
    access.handlers = [console_handler(mended := io.StringIO())]
    writer.write_threadsafe([entry(1)])
    writer.stop()
    assert mended.getvalue() == line(1)
    assert "I/O operation on closed file" in capsys.readouterr().err


def test_a_filter_that_raises_loses_only_its_lines(stream: io.StringIO, errors: Seen) -> None:
    def fail(record: logging.LogRecord) -> bool:
        return 1 // int(record.args[2][1:]) >= 0  # type: ignore[index]

    access.addFilter(fail)
    written([entry(0), entry(1), entry(0), entry(2)])
    assert stream.getvalue() == line(1) + line(2)
    assert errors.messages == ["Access log: 2 lines failed in a log handler or filter"]
    assert errors.records[0].exc_info is not None
    assert errors.records[0].exc_info[0] is ZeroDivisionError


def test_stop_writes_everything_and_leaves_no_thread(stream: io.StringIO) -> None:
    before = set(threading.enumerate())
    writer = AccessLogWriter()
    writer.start()
    assert len(set(threading.enumerate()) - before) == 1
    for number in range(100):
        writer.write_threadsafe([entry(number)] * 30)
    writer.stop()
    assert set(threading.enumerate()) <= before
    assert stream.getvalue() == "".join(30 * line(number) for number in range(100))
    writer.write_threadsafe([entry("late")])
    writer.stop()
    assert "late" not in stream.getvalue()


def test_stop_without_start_returns() -> None:
    AccessLogWriter().stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_stop_returns_when_the_thread_has_died() -> None:
    class Deadly(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise SystemExit

    access.handlers = [Deadly()]
    writer = AccessLogWriter()
    writer.start()
    writer.write_threadsafe([entry(0)])
    wait_until(lambda: not writer._thread.is_alive(), "the thread to die")
    writer.write_threadsafe([entry(1)])
    stopper = threading.Thread(target=writer.stop, daemon=True)
    stopper.start()
    stopper.join(DEADLINE)
    assert not stopper.is_alive()


def test_the_thread_starts_with_an_empty_context() -> None:
    """Which free-threaded builds would not give it by themselves from 3.14 on."""
    variable = contextvars.ContextVar("variable", default="empty")
    values = []

    class Reads(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            values.append(variable.get())

    access.handlers = [Reads()]
    variable.set("the starter's")
    written([entry(0)])
    assert values == ["empty"]


def test_a_record_is_of_the_moment_at_which_its_response_ended() -> None:
    variable = contextvars.ContextVar("variable", default="empty")
    seen: list[tuple[str, float, str | None]] = []

    def note(record: logging.LogRecord) -> bool:
        seen.append((variable.get(), record.created, record.threadName))
        return True

    async def respond(log: AccessLog, number: int) -> float:
        variable.set(f"request {number}")
        log.add(entry(number))
        return time.time()

    async def main() -> list[float]:
        log = AccessLog(asyncio.get_running_loop(), writer)
        ends = [await asyncio.create_task(respond(log, number)) for number in range(2)]
        log.flush()
        return ends

    access.addFilter(note)
    writer = AccessLogWriter()
    began = time.time()
    first, second = asyncio.run(main())
    writer.start()
    writer.stop()
    assert [(value, thread) for value, _, thread in seen] == [
        ("request 0", threading.current_thread().name),
        ("request 1", threading.current_thread().name),
    ]
    assert began <= seen[0][1] <= first <= seen[1][1] <= second
