"""What reaches the access log's handlers, in both lanes."""

import io
import logging
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.access_console import Seen, access, console_handler, entry, line, parent, written
from support.waiting import wait_until

from threadserve.logging import access_log
from threadserve.logging.access_log import AccessEntry, AccessLogWriter, find_direct_console
from threadserve.logging.formatters import ACCESS_FORMAT, AccessFormatter, ConsoleHandler

pytestmark = pytest.mark.usefixtures("console")

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


@pytest.mark.parametrize("use_colors", [False, True])
def test_both_lanes_write_the_same_bytes(use_colors: bool) -> None:
    output = []
    for slow in (False, True):
        stream = io.StringIO()
        access.handlers = [console_handler(stream, use_colors=use_colors)]
        if slow:
            access.addHandler(logging.NullHandler())
        assert (find_direct_console() is None) == slow
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
        access.addHandler(seen)
    written([entry(0), ("host\n:1", "GE\tT", forged, "1.1\r", 200), entry(1)])
    assert stream.getvalue() == f'{line(0)}INFO:     host%0A:1 - "GE%09T {shown} HTTP/1.1%0D" 200 OK\n{line(1)}'
    assert not slow or seen.records[1].args == ("host%0A:1", "GE%09T", shown, "1.1%0D", 200)


def test_records_carry_their_args_for_filters_and_formatters(stream: io.StringIO) -> None:
    seen = Seen()
    access.addHandler(seen)
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
        lambda console: access.addHandler(Seen()),
        lambda console: console.setLevel(logging.WARNING),
        lambda console: access.handlers.clear(),
        lambda console: setattr(access, "parent", parent),
    ],
)
def test_records_are_made_where_somebody_could_tell(
    console: ConsoleHandler, change: Callable[[ConsoleHandler], None]
) -> None:
    assert find_direct_console() == (console, console.formatter)
    change(console)
    assert find_direct_console() is None


@pytest.mark.parametrize(
    "change",
    [
        lambda: access.addHandler(Seen(logging.ERROR)),
        lambda: parent.addHandler(Seen()),
        lambda: vars(access).update(parent=parent, propagate=False),
    ],
)
def test_no_records_are_made_for_handlers_that_take_none(console: ConsoleHandler, change: Callable[[], None]) -> None:
    change()
    assert find_direct_console() == (console, console.formatter)


@pytest.mark.parametrize(
    "change", [lambda: access.setLevel(logging.WARNING), lambda: setattr(access, "disabled", True)]
)
def test_levels_are_respected(stream: io.StringIO, change: Callable[[], None]) -> None:
    access.addHandler(seen := Seen())
    change()
    written(ENTRIES)
    assert not seen.records
    assert not stream.getvalue()


def test_changes_while_serving_take_effect(stream: io.StringIO, writer: AccessLogWriter) -> None:
    def write_and_wait(path: str, done: Callable[[], object]) -> None:
        writer.write_threadsafe([entry(path)])
        wait_until(done, f"{path} to be written")

    write_and_wait("fast", lambda: line("fast") in stream.getvalue())
    access.addHandler(seen := Seen())
    write_and_wait("record", lambda: seen.records)
    access.setLevel(logging.WARNING)
    writer.write_threadsafe([entry("hidden")])
    wait_until(lambda: writer._waiting == 0, "the hidden entry to be taken")
    access.setLevel(logging.INFO)
    access.removeHandler(seen)
    write_and_wait("again", lambda: line("again") in stream.getvalue())
    assert stream.getvalue() == line("fast") + line("record") + line("again")
    assert len(seen.records) == 1
