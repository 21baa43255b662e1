"""How log lines look, and which handlers get them."""

import copy
import io
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from select import PIPE_BUF
from typing import Any, cast

import pytest
from support.loggers import access, configured, error, parent, restored_loggers

from threadserve.config import LOGGING_CONFIG
from threadserve.logging.formatters import (
    ACCESS_FORMAT,
    TRACE_LOG_LEVEL,
    AccessEntry,
    AccessFormatter,
    ColourizedFormatter,
    ConsoleHandler,
    DefaultFormatter,
    log_emphasised,
    split_for_pipe,
)

MESSAGE = '%s - "%s %s HTTP/%s" %d'
ENTRY = ("127.0.0.1:54321", "GET", "/", "1.1", 200)
ACCESS_LINE = 'INFO:     127.0.0.1:54321 - "GET / HTTP/1.1" 200 OK\n'
ROOT_FORMAT = logging.Formatter("root %(message)s")


@pytest.fixture(autouse=True)
def _restored_loggers() -> Iterator[None]:
    with restored_loggers():
        yield


def root_console() -> logging.StreamHandler[Any]:
    """What `logging.basicConfig()` does in an application."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ROOT_FORMAT)
    logging.getLogger().addHandler(handler)
    return handler


def record_of(level: int = logging.INFO, message: str = "hello", **attributes: Any) -> logging.LogRecord:
    record = logging.LogRecord("threadserve.error", level, __file__, 1, message, None, None)
    vars(record).update(attributes)
    return record


def access_record(status: int = 200) -> logging.LogRecord:
    return logging.LogRecord("threadserve.access", logging.INFO, __file__, 1, MESSAGE, (*ENTRY[:4], status), None)


def test_server_messages_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configured()
    error.info("Started %d threads", 2)
    assert capsys.readouterr() == ("", "INFO:     Started 2 threads\n")


def test_access_lines_go_to_stdout_once(capsys: pytest.CaptureFixture[str]) -> None:
    configured()
    access.info(MESSAGE, *ENTRY)
    assert capsys.readouterr() == (ACCESS_LINE, "")


@pytest.mark.parametrize(
    ("level", "prefix", "colored"),
    [
        (TRACE_LOG_LEVEL, "TRACE:   ", "\x1b[34mTRACE\x1b[0m:   "),
        (logging.DEBUG, "DEBUG:   ", "\x1b[36mDEBUG\x1b[0m:   "),
        (logging.INFO, "INFO:    ", "\x1b[32mINFO\x1b[0m:    "),
        (logging.WARNING, "WARNING: ", "\x1b[33mWARNING\x1b[0m: "),
        (logging.ERROR, "ERROR:   ", "\x1b[31mERROR\x1b[0m:   "),
        (logging.CRITICAL, "CRITICAL:", "\x1b[91mCRITICAL\x1b[0m:"),
        (25, "Level 25:", "Level 25:"),
    ],
)
def test_levels_are_padded_and_colored(level: int, prefix: str, colored: str) -> None:
    configured()
    fmt = "%(levelprefix)s %(message)s"
    assert DefaultFormatter(fmt, use_colors=False).format(record_of(level)) == f"{prefix} hello"
    assert DefaultFormatter(fmt, use_colors=True).format(record_of(level)) == f"{colored} hello"


@pytest.mark.parametrize(
    ("status", "plain", "color"),
    [
        (101, "101 Switching Protocols", "97"),
        (200, "200 OK", "32"),
        (304, "304 Not Modified", "33"),
        (404, "404 Not Found", "31"),
        (503, "503 Service Unavailable", "91"),
        (599, "599 ", "91"),
        (799, "799 ", None),
    ],
)
def test_status_has_its_phrase_and_color(status: int, plain: str, color: str | None) -> None:
    colored = plain if color is None else f"\x1b[{color}m{plain}\x1b[0m"
    start = '127.0.0.1:54321 - "'
    assert AccessFormatter(ACCESS_FORMAT, use_colors=False).format(access_record(status)) == (
        f'INFO:     {start}GET / HTTP/1.1" {plain}'
    )
    assert AccessFormatter(ACCESS_FORMAT, use_colors=True).format(access_record(status)) == (
        f'\x1b[32mINFO\x1b[0m:     {start}\x1b[1mGET / HTTP/1.1\x1b[0m" {colored}'
    )


def test_color_message_is_for_colors_only() -> None:
    record = record_of(color_message="\x1b[1mhello\x1b[0m")
    fmt = "%(levelprefix)s %(message)s"
    assert DefaultFormatter(fmt, use_colors=False).format(record) == "INFO:     hello"
    assert DefaultFormatter(fmt, use_colors=True).format(record) == "\x1b[32mINFO\x1b[0m:     \x1b[1mhello\x1b[0m"


def test_color_message_takes_the_records_args() -> None:
    record = logging.LogRecord("threadserve.error", logging.INFO, __file__, 1, "on %s", ("::1",), None)
    vars(record)["color_message"] = "ON %s"
    assert DefaultFormatter("%(message)s", use_colors=True).format(record) == "ON ::1"


@pytest.mark.parametrize(
    ("use_colors", "shown"), [(True, "on \x1b[1m::1\x1b[0m, \x1b[1m8\x1b[0m"), (False, "on ::1, 8")]
)
def test_arguments_stand_out(caplog: pytest.LogCaptureFixture, use_colors: bool, shown: str) -> None:
    error.setLevel(logging.INFO)
    log_emphasised(error, "on %s, %d", "::1", 8, bold=True)
    (record,) = caplog.records
    assert DefaultFormatter("%(message)s", use_colors=use_colors).format(record) == shown
    assert record.filename == Path(__file__).name


def test_formatting_adds_nothing_to_the_record() -> None:
    record = access_record()
    record.message = record.getMessage()
    before = dict(vars(record))
    AccessFormatter(ACCESS_FORMAT, use_colors=True).format(record)
    assert vars(record) == before


@pytest.mark.parametrize(
    ("style", "fmt"),
    [
        ("%", "%(name)s %(client_addr)s [%(request_line)s] %(status_code)s"),
        ("{", "{name} {client_addr} [{request_line}] {status_code}"),
        ("$", "$name $client_addr [$request_line] $status_code"),
    ],
)
def test_own_formats_in_every_style(style: Any, fmt: str) -> None:
    formatter = AccessFormatter(fmt, style=style)
    assert formatter.format(access_record()) == "threadserve.access 127.0.0.1:54321 [GET / HTTP/1.1] 200 OK"


class Uvicorns(ColourizedFormatter):
    """A formatter as people make them from Uvicorn's."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        values = copy.copy(record)
        client, method, path, _, status = cast("AccessEntry", values.args)
        text = AccessFormatter(use_colors=False).get_status_code(status)
        vars(values).update(own=f"{client} {method} {path} {text}")
        return super().formatMessage(values)


def test_formatters_made_from_ours(capsys: pytest.CaptureFixture[str]) -> None:
    configured()
    access.handlers[0].setFormatter(Uvicorns("%(levelprefix)s %(own)s"))
    access.info(MESSAGE, *ENTRY)
    assert capsys.readouterr().out == "INFO:     127.0.0.1:54321 GET / 200 OK\n"


def test_colors_follow_the_handlers_own_stream() -> None:
    reader, terminal = os.openpty()
    with os.fdopen(reader, "rb", buffering=0) as output, os.fdopen(terminal, "w") as screen, io.StringIO() as file:
        formatter = DefaultFormatter("%(levelprefix)s %(message)s")
        for stream in (screen, file):
            console = ConsoleHandler(stream)
            console.setFormatter(formatter)
            error.handlers = [console]
            error.handle(record_of())
        assert output.read(1000) == b"\x1b[32mINFO\x1b[0m:     hello\r\n"
        assert file.getvalue() == "INFO:     hello\n"


def test_colors_left_open_are_off_in_files(tmp_path: Path) -> None:
    handler = logging.FileHandler(tmp_path / "log")
    handler.setFormatter(DefaultFormatter("%(levelprefix)s %(message)s"))
    handler.handle(record_of())
    handler.close()
    assert (tmp_path / "log").read_text() == "INFO:     hello\n"


@pytest.mark.parametrize("stream", [None, object(), io.StringIO()])
def test_colors_are_off_where_the_stream_cannot_tell(stream: Any) -> None:
    if stream:
        getattr(stream, "close", int)()
    handler = ConsoleHandler(stream)
    handler.stream = stream
    handler.setFormatter(DefaultFormatter())
    assert isinstance(handler.formatter, DefaultFormatter)
    assert handler.formatter.use_colors is False


@pytest.mark.parametrize("settings", [{"log_config": None}, {"log_propagate": True}])
def test_caplog_sees_every_record_of_a_log_that_goes_to_the_root(
    caplog: pytest.LogCaptureFixture, settings: dict[str, Any]
) -> None:
    configured(**settings, log_level="info")
    error.info("hello")
    access.info(MESSAGE, *ENTRY)
    assert caplog.record_tuples == [
        ("threadserve.error", logging.INFO, "hello"),
        ("threadserve.access", logging.INFO, '127.0.0.1:54321 - "GET / HTTP/1.1" 200'),
    ]


def test_the_log_stays_as_it_is_whatever_handles_the_roots(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    configured()
    root_console()
    error.info("hello")
    access.info(MESSAGE, *ENTRY)
    assert capsys.readouterr() == (ACCESS_LINE, "INFO:     hello\n")
    assert not caplog.records


def test_the_log_can_be_left_to_the_roots_handlers(capsys: pytest.CaptureFixture[str]) -> None:
    configured(log_propagate=True)
    root_console()
    error.info("hello")
    access.info(MESSAGE, *ENTRY)
    assert capsys.readouterr() == ("", 'root hello\nroot 127.0.0.1:54321 - "GET / HTTP/1.1" 200\n')


def test_without_an_access_log_the_root_gets_none_either(capsys: pytest.CaptureFixture[str]) -> None:
    configured(log_propagate=True, access_log=False)
    root_console()
    access.info(MESSAGE, *ENTRY)
    assert capsys.readouterr() == ("", "")


def test_a_handler_on_the_parent_takes_messages_and_no_requests(capsys: pytest.CaptureFixture[str]) -> None:
    configured()
    seen = logging.StreamHandler(io.StringIO())
    parent.addHandler(seen)
    error.info("hello")
    access.info(MESSAGE, *ENTRY)
    assert seen.stream.getvalue() == "hello\n"
    assert capsys.readouterr() == (ACCESS_LINE, "INFO:     hello\n")


class Breakable(io.StringIO):
    """A stream that can be broken and mended."""

    is_broken = False
    name = "<broken>"

    def write(self, text: str) -> int:
        if self.is_broken:
            raise BrokenPipeError(32, "Broken pipe")
        return super().write(text)


def test_a_broken_stream_is_reported_once_until_it_works_again(capsys: pytest.CaptureFixture[str]) -> None:
    stream = Breakable()
    error.addHandler(ConsoleHandler(stream))
    error.setLevel(logging.INFO)
    for stream.is_broken in (False, True, True, False, True):
        error.info("hello")
    line = "threadserve: cannot write the log to <broken>: [Errno 32] Broken pipe\n"
    assert stream.getvalue() == "hello\nhello\n"
    assert capsys.readouterr().err == line * 2


def test_without_any_stream_nothing_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    error.addHandler(handler := ConsoleHandler())
    error.setLevel(logging.INFO)
    error.info("hello")
    assert handler.is_broken


def test_a_mistake_in_a_log_call_is_reported_as_logging_does(capsys: pytest.CaptureFixture[str]) -> None:
    configured()
    error.info("%d", "no number")
    error.info("hello")
    err = capsys.readouterr().err
    assert err.startswith("--- Logging error ---")
    assert err.endswith("\nINFO:     hello\n")


def test_the_default_access_format_is_the_one_that_is_written_fast() -> None:
    assert LOGGING_CONFIG["formatters"]["access"]["fmt"] == ACCESS_FORMAT


@pytest.mark.parametrize(
    "lines",
    [
        [f"{number} {'x' * 90}\n" for number in range(200)],
        [f"{number} {'☃' * 90}\n" for number in range(200)],
        ["short\n", "x" * 3 * PIPE_BUF + "\n", "short\n"],
        ["x" * (PIPE_BUF - 1) + "\n", "x" * PIPE_BUF + "\n"],
    ],
    ids=["ASCII", "other characters", "long", "at the limit"],
)
def test_a_pipe_takes_each_piece_as_a_whole(lines: list[str]) -> None:
    pieces = list(split_for_pipe("".join(lines)))
    assert "".join(pieces) == "".join(lines)
    assert all(piece.endswith("\n") for piece in pieces)
    assert all(len(piece.encode()) <= PIPE_BUF or piece in lines for piece in pieces)
    assert len(pieces) < len(lines) / 8 or len(lines) < 4
