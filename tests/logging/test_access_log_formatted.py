"""What reaches the access log's handlers where it has a format of the user's."""

import io
import json
import logging
import logging.handlers
import queue
from collections.abc import Callable

import pytest
from support.access_console import Seen, access, console_handler

from threadserve.logging.access_format import AccessFacts
from threadserve.logging.access_log import AccessLogWriter, find_direct_console
from threadserve.logging.formatters import ACCESS_FORMAT, AccessFormatter, ConsoleHandler, DefaultFormatter

pytestmark = pytest.mark.usefixtures("console")

FORMAT = '%(h)s "%(r)s" %(s)s %(B)s'
LINES = ['127.0.0.1 "GET /0 HTTP/1.1" 200 5', '127.0.0.1 "GET /\\xe9\\x0a\\"?a=%s%d HTTP/1.1" 404 0']


def facts(path: bytes, query: bytes = b"", status: int = 200, sent: int = 5) -> AccessFacts:
    return AccessFacts(
        label="127.0.0.1:1",
        host="127.0.0.1",
        method="GET",
        path=path,
        query=query,
        version="1.1",
        scheme="http",
        status=status,
        sent=sent,
        seconds=0.1,
        ended=0.0,
        request_fields=(None,) * 4,
        response_fields=(),
    )


ENTRIES = [facts(b"/0"), facts(b'/\xe9\n"', b"a=%s%d", 404, 0)]


def written(entries: list[AccessFacts], format: str = FORMAT) -> None:
    """Writes entries through a writer, from its start to its end."""
    writer = AccessLogWriter(format)
    writer.start()
    writer.write_threadsafe(list(entries))
    writer.stop()


@pytest.mark.parametrize("use_colors", [False, True])
@pytest.mark.parametrize("slow", [False, True])
def test_both_lanes_write_the_lines_and_nothing_else(stream: io.StringIO, use_colors: bool, slow: bool) -> None:
    access.handlers = [console_handler(stream, use_colors=use_colors)]
    if slow:
        access.addHandler(logging.NullHandler())
    assert (find_direct_console() is None) == slow
    written(ENTRIES)
    assert stream.getvalue().splitlines() == LINES


@pytest.mark.parametrize("slow", [False, True])
def test_json_lines(stream: io.StringIO, slow: bool) -> None:
    if slow:
        access.addHandler(logging.NullHandler())
    written(ENTRIES, "json")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["path"], line["status"]) for line in lines] == [("/0", 200), ('/\\xe9\n"', 404)]


def test_the_message_of_a_record_is_its_line() -> None:
    access.addHandler(seen := Seen())
    written(ENTRIES)
    assert seen.messages == LINES


def test_records_have_the_args_that_they_have_without_a_format() -> None:
    access.addHandler(seen := Seen())
    written(ENTRIES)
    assert [record.args for record in seen.records] == [
        ("127.0.0.1:1", "GET", "/0", "1.1", 200),
        ("127.0.0.1:1", "GET", '/\\xe9%0A"?a=%s%d', "1.1", 404),
    ]


def test_filters_for_the_default_lines_work(stream: io.StringIO) -> None:
    access.addFilter(lambda record: record.args[2] != "/0")  # type: ignore[index]
    written(ENTRIES)
    assert stream.getvalue().splitlines() == LINES[1:]


@pytest.mark.parametrize(
    ("formatter", "shown"),
    [
        (logging.Formatter(), LINES[0]),
        (logging.Formatter("%(levelname)s %(message)s"), f"INFO {LINES[0]}"),
        (DefaultFormatter("%(levelprefix)s %(message)s"), f"INFO:     {LINES[0]}"),
        (AccessFormatter("%(asctime)s %(message)s", "at"), f"at {LINES[0]}"),
        (AccessFormatter("%(client_addr)s %(status_code)s"), "127.0.0.1:1 200 OK"),
    ],
)
def test_own_formatters_keep_their_say(console: ConsoleHandler, formatter: logging.Formatter, shown: str) -> None:
    console.setFormatter(formatter)
    written(ENTRIES[:1])
    stream = console.stream
    assert isinstance(stream, io.StringIO)
    assert stream.getvalue() == f"{shown}\n"


def test_a_record_keeps_its_line_on_its_way_through_a_queue(stream: io.StringIO) -> None:
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    access.handlers = [logging.handlers.QueueHandler(records)]
    written(ENTRIES)
    formatter = AccessFormatter(ACCESS_FORMAT)
    assert [formatter.format(records.get_nowait()) for _ in ENTRIES] == LINES


@pytest.mark.parametrize(
    "change", [lambda: access.setLevel(logging.WARNING), lambda: vars(access).update(handlers=[], propagate=False)]
)
def test_nothing_is_written_that_nobody_takes(stream: io.StringIO, change: Callable[[], object]) -> None:
    change()
    written(ENTRIES)
    assert not stream.getvalue()
