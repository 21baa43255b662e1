"""What reaches the access log's handlers, in both lanes, from several threads, and when the console fails."""

import asyncio
import contextvars
import io
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.waiting import DEADLINE, wait_until

from threadserve import access_log
from threadserve.access_log import AccessEntry, AccessLog, AccessLogWriter, fast_lane_now
from threadserve.logs import ACCESS_FORMAT, AccessFormatter, ConsoleHandler

parent = logging.getLogger("threadserve")
access = logging.getLogger("threadserve.access")

ENTRIES: list[AccessEntry] = [
    ("127.0.0.1:54321", "GET", "/", "1.1", 200),
    ("[::1]:1", "M-SEARCH", "/a%20b?q=%s&%d{}$x", "1.0", 404),
    ("", "P", "*", "1.1", 101),
    ("10.0.0.1:2", "DELETE", "/%", "1.1", 304),
    ("10.0.0.1:2", "GET", "http://host/", "1.1", 500),
    ("10.0.0.1:2", "GET", "/unknown", "1.1", 599),
    ("10.0.0.1:2", "GET", "/unknown", "1.1", 299),
    ("10.0.0.1:2", "GET", "/unknown", "1.1", 799),
    ("10.0.0.1:2", "GET", "/unknown", "2", 99),
]


def entry(path: object) -> AccessEntry:
    return ("127.0.0.1:1", "GET", f"/{path}", "1.1", 200)


def line(path: object) -> str:
    return f'INFO:     127.0.0.1:1 - "GET /{path} HTTP/1.1" 200 OK\n'


class Seen(logging.Handler):
    """A handler that keeps the records."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.records]


def console_handler(stream: io.StringIO, *, use_colors: bool = False, fmt: str = ACCESS_FORMAT) -> ConsoleHandler:
    handler = ConsoleHandler(stream)
    handler.setFormatter(AccessFormatter(fmt, use_colors=use_colors))
    return handler


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(autouse=True)
def console(stream: io.StringIO) -> Iterator[ConsoleHandler]:
    """The default configuration on a stream of the test's own, cut off from the root logger and pytest's handlers."""
    handler = console_handler(stream)
    before = [(logger, dict(vars(logger))) for logger in (parent, access)]
    parent.handlers, parent.parent = [ConsoleHandler(io.StringIO())], None
    access.handlers = [handler]
    access.setLevel(logging.INFO)
    yield handler
    for logger, attributes in before:
        logger.filters.clear()
        vars(logger).update(attributes)
        logger.setLevel(attributes["level"])


@pytest.fixture
def errors() -> Iterator[Seen]:
    """What the server's own logger says."""
    logger = logging.getLogger("threadserve.error")
    seen = Seen(logging.WARNING)
    logger.addHandler(seen)
    yield seen
    logger.removeHandler(seen)


@pytest.fixture
def writer() -> Iterator[AccessLogWriter]:
    writer = AccessLogWriter()
    writer.start()
    yield writer
    writer.stop()


def written(entries: list[AccessEntry]) -> None:
    """Writes entries through a writer, from its start to its end."""
    writer = AccessLogWriter()
    writer.start()
    writer.write_threadsafe(list(entries))
    writer.stop()


@pytest.mark.parametrize("use_colors", [False, True])
def test_both_lanes_write_the_same_bytes(use_colors: bool) -> None:
    output = []
    for slow in (False, True):
        stream = io.StringIO()
        access.handlers = [console_handler(stream, use_colors=use_colors)]
        if slow:
            access.addHandler(logging.NullHandler())
        assert (fast_lane_now() is None) == slow
        written(ENTRIES)
        output.append(stream.getvalue())
    assert output[0] == output[1]
    assert output[0].count("\n") == len(ENTRIES)
    assert ("\x1b[1mGET / HTTP/1.1\x1b[0m" in output[0]) == use_colors


visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E))


@given(st.lists(st.tuples(visible, visible, visible, visible, st.integers(100, 999))), st.booleans())
def test_both_lanes_agree_on_any_entry(entries: list[AccessEntry], use_colors: bool) -> None:
    formatter = AccessFormatter(ACCESS_FORMAT, use_colors=use_colors)
    records = [logging.LogRecord("a", logging.INFO, "", 0, access_log.MESSAGE, each, None) for each in entries]
    assert formatter.format_lines(entries) == "".join(f"{formatter.format(record)}\n" for record in records)


def test_lines_look_like_uvicorns(stream: io.StringIO) -> None:
    written(ENTRIES[:2])
    assert stream.getvalue() == (
        'INFO:     127.0.0.1:54321 - "GET / HTTP/1.1" 200 OK\n'
        'INFO:     [::1]:1 - "M-SEARCH /a%20b?q=%s&%d{}$x HTTP/1.0" 404 Not Found\n'
    )


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize(
    ("forged", "shown"),
    [
        ('/\nINFO:     1.2.3.4:5 - "GET', '/%0AINFO:     1.2.3.4:5 - "GET'),
        ("/\r\x0b\x0c\x1c\x85\u2028", "/%0D%0B%0C%1C%C2%85%E2%80%A8"),
        ("/\x1b[2J\x00\x7f", "/%1B[2J%00%7F"),
        ("/é\udc80", "/%C3%A9\\udc80"),
    ],
)
def test_nothing_can_break_or_forge_a_line(stream: io.StringIO, slow: bool, forged: str, shown: str) -> None:
    seen = Seen()
    if slow:
        parent.addHandler(seen)
    written([entry(0), ("host\n:1", "GE\tT", forged, "1.1\r", 200), entry(1)])
    assert stream.getvalue() == f'{line(0)}INFO:     host%0A:1 - "GE%09T {shown} HTTP/1.1%0D" 200 OK\n{line(1)}'
    assert not slow or seen.records[1].args == ("host%0A:1", "GE%09T", shown, "1.1%0D", 200)


def test_records_carry_their_args_for_filters_and_formatters(stream: io.StringIO) -> None:
    seen = Seen()
    parent.addHandler(seen)
    access.addFilter(lambda record: "/health" not in (record.args or ()))
    written([entry("health"), entry("other")])
    assert [record.args for record in seen.records] == [entry("other")]
    assert seen.messages == ['127.0.0.1:1 - "GET /other HTTP/1.1" 200']
    assert (seen.records[0].name, seen.records[0].levelno) == ("threadserve.access", logging.INFO)
    assert stream.getvalue() == line("other")


class OwnFormatter(AccessFormatter):
    """Somebody's formatter made from ours."""


class OwnHandler(ConsoleHandler):
    """Somebody's handler made from ours."""


def with_own_formatter(console: ConsoleHandler) -> None:
    console.setFormatter(OwnFormatter(ACCESS_FORMAT))


def with_other_format(console: ConsoleHandler) -> None:
    console.setFormatter(AccessFormatter(f"%(asctime)s {ACCESS_FORMAT}"))


def with_own_handler(console: ConsoleHandler) -> None:
    access.handlers = [OwnHandler()]
    access.handlers[0].setFormatter(console.formatter)


def keep_all(record: logging.LogRecord) -> bool:
    return True


@pytest.mark.parametrize(
    "change",
    [
        with_own_formatter,
        with_other_format,
        with_own_handler,
        lambda console: console.addFilter(keep_all),
        lambda console: access.addFilter(keep_all),
        lambda console: parent.addHandler(Seen()),
        lambda console: parent.handlers[0].addFilter(keep_all),
        lambda console: console.setLevel(logging.WARNING),
        lambda console: access.handlers.clear(),
        lambda console: setattr(parent, "parent", logging.getLogger()),
    ],
)
def test_records_are_made_where_somebody_could_tell(
    console: ConsoleHandler, change: Callable[[ConsoleHandler], None]
) -> None:
    assert fast_lane_now() == (console, console.formatter)
    change(console)
    assert fast_lane_now() is None


@pytest.mark.parametrize(
    "change",
    [
        lambda: parent.addHandler(Seen(logging.ERROR)),
        lambda: parent.handlers.clear(),
        lambda: setattr(access, "propagate", False),
    ],
)
def test_no_records_are_made_for_handlers_that_take_none(console: ConsoleHandler, change: Callable[[], None]) -> None:
    change()
    assert fast_lane_now() == (console, console.formatter)


@pytest.mark.parametrize(
    "change", [lambda: access.setLevel(logging.WARNING), lambda: setattr(access, "disabled", True)]
)
def test_levels_are_respected(stream: io.StringIO, change: Callable[[], None]) -> None:
    parent.addHandler(seen := Seen())
    change()
    written(ENTRIES)
    assert not seen.records
    assert not stream.getvalue()


def test_changes_while_serving_take_effect(stream: io.StringIO, writer: AccessLogWriter) -> None:
    def write_and_wait(path: str, done: Callable[[], object]) -> None:
        writer.write_threadsafe([entry(path)])
        wait_until(done, f"{path} to be written")

    write_and_wait("fast", lambda: line("fast") in stream.getvalue())
    parent.addHandler(seen := Seen())
    write_and_wait("record", lambda: seen.records)
    access.setLevel(logging.WARNING)
    writer.write_threadsafe([entry("hidden")])
    wait_until(lambda: writer._waiting == 0, "the hidden entry to be taken")
    access.setLevel(logging.INFO)
    parent.removeHandler(seen)
    write_and_wait("again", lambda: line("again") in stream.getvalue())
    assert stream.getvalue() == line("fast") + line("record") + line("again")
    assert len(seen.records) == 1


class Batches:
    """Stands in for the writer: keeps what loops hand over."""

    def __init__(self) -> None:
        self.batches: list[list[AccessEntry]] = []
        self.arrived = asyncio.Event()

    def write_threadsafe(self, entries: list[AccessEntry]) -> None:
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
    monkeypatch.setattr(access_log, "MAX_WAITING", 10)
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
    monkeypatch.setattr(access_log, "MAX_WAITING", 2)
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
    before = threading.active_count()
    writer = AccessLogWriter()
    writer.start()
    assert threading.active_count() == before + 1
    for number in range(100):
        writer.write_threadsafe([entry(number)] * 30)
    writer.stop()
    assert threading.active_count() == before
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
