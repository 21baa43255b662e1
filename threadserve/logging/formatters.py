"""Levels, formatters and the console handler of the log.

Everything runs on whichever thread logs: a formatter is not written after it was made, and a handler's lock guards its
stream. Nothing here starts a thread, and nothing touches a handler, formatter or filter that
somebody else attached.

The loggers are `threadserve`, its child `threadserve.error` for the server's messages, `threadserve.access` for
requests and `threadserve.asgi` for what passes to and from applications, at the level `trace`. The default
configuration keeps them from the root logger, whose handlers are the application's.
"""

import copy
import logging
import re
import sys
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from select import PIPE_BUF
from types import SimpleNamespace
from typing import IO, Any, Literal, TextIO, cast

import click

TRACE_LOG_LEVEL = 5
ACCESS_FORMAT = '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s'

LEVEL_COLORS = {
    TRACE_LOG_LEVEL: "blue",
    logging.DEBUG: "cyan",
    logging.INFO: "green",
    logging.WARNING: "yellow",
    logging.ERROR: "red",
    logging.CRITICAL: "bright_red",
}
STATUS_COLORS = {1: "bright_white", 2: "green", 3: "yellow", 4: "red", 5: "bright_red"}
PHRASES = {status.value: status.phrase for status in HTTPStatus}
# Of a character in UTF-8.
MAX_CHARACTER_BYTES = 4
BOLD, NOT_BOLD = click.style("|", bold=True).split("|")

AccessEntry = tuple[str, str, str, str, int]
"""One answered request: client as host:port or "", method, path with query string, HTTP version, status."""


def format_level(level: int, name: str, use_colors: bool | None) -> str:
    """Return the start of a line: the level's name and a colon, padded so that the messages line up."""
    padding = " " * (8 - len(name))
    if use_colors and level in LEVEL_COLORS:
        name = click.style(name, fg=LEVEL_COLORS[level])
    return f"{name}:{padding}"


def log_emphasised(
    logger: logging.Logger, message: str, *args: object, fg: str | None = None, bold: bool | None = None
) -> None:
    """Log at level INFO a message whose arguments stand out where colours are on, as `click.style` shows them."""
    color_message = re.sub("%[sd]", lambda argument: click.style(argument[0], fg=fg, bold=bold), message)
    logger.info(message, *args, extra={"color_message": color_message}, stacklevel=2)


def format_status(status: int, use_colors: bool | None) -> str:
    """Return a status code and its phrase, coloured by its class; a code without a phrase ends with the blank."""
    text = f"{status} {PHRASES.get(status, '')}"
    if use_colors and status // 100 in STATUS_COLORS:
        return click.style(text, fg=STATUS_COLORS[status // 100])
    return text


class StatusTexts(dict[int, str]):
    """The results of `format_status`, those of statuses with a phrase made beforehand. All threads read it."""

    def __init__(self, use_colors: bool) -> None:
        super().__init__((status, format_status(status, use_colors)) for status in PHRASES)
        self.use_colors = use_colors

    def __missing__(self, status: int) -> str:
        return format_status(status, self.use_colors)


PLAIN_STATUS = StatusTexts(use_colors=False)
COLORED_STATUS = StatusTexts(use_colors=True)


class ColourizedFormatter(logging.Formatter):
    """A formatter whose format may use `%(levelprefix)s`.

    With `use_colors` None a `ConsoleHandler`, or a handler of a configuration, colours if its stream is a terminal, and
    any other handler does not. A record made with `extra={"color_message": ...}` has that message where colours are on.
    """

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: Literal["%", "{", "$"] = "%",
        use_colors: bool | None = None,
    ) -> None:
        super().__init__(fmt, datefmt, style)
        self.use_colors = use_colors

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the values that a format may use beyond a record's own attributes, or instead of them."""
        fields: dict[str, Any] = {"levelprefix": format_level(record.levelno, record.levelname, self.use_colors)}
        if self.use_colors and hasattr(record, "color_message"):
            colored = copy.copy(record)
            colored.msg = record.color_message
            fields["message"] = colored.getMessage()
        return fields

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line for a record, which itself is not changed: other handlers would show our fields."""
        # All that a format sees of a record is its __dict__; copying a record takes as long as the rest of its line.
        values = SimpleNamespace(**{**record.__dict__, **self.fields(record)})
        return super().formatMessage(cast("logging.LogRecord", values))


class DefaultFormatter(ColourizedFormatter):
    """The formatter of the server's messages."""


class AccessFormatter(ColourizedFormatter):
    """A formatter of access records, whose args are an `AccessEntry`.

    Its format may also use `%(client_addr)s`, `%(request_line)s` and `%(status_code)s` (with the status phrase). A
    record that brings its line, made with `access_log_format`, is that line in the default format.
    """

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the values that a format may use beyond a record's own attributes."""
        client, method, path, version, status = cast("AccessEntry", record.args)
        request_line = f"{method} {path} HTTP/{version}"
        return {
            **super().fields(record),
            "client_addr": client,
            "request_line": f"{BOLD}{request_line}{NOT_BOLD}" if self.use_colors else request_line,
            "status_code": self.get_status_code(status),
        }

    def get_status_code(self, status: int) -> str:
        """Return a status code with its phrase, coloured where colours are on. Uvicorn's name, for subclasses."""
        return (COLORED_STATUS if self.use_colors else PLAIN_STATUS)[status]

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line for a record, which itself is not changed."""
        if self._fmt == ACCESS_FORMAT and hasattr(record, "access_line"):
            return str(record.access_line)
        return super().formatMessage(record)

    def has_default_format(self) -> bool:
        """Return whether `format_lines` gives what `format` would."""
        return self._fmt == ACCESS_FORMAT and type(self) is AccessFormatter

    def format_lines(self, entries: Iterable[AccessEntry]) -> str:
        """Return the lines of many requests at level INFO in the default format, each with its newline."""
        prefix = format_level(logging.INFO, logging.getLevelName(logging.INFO), self.use_colors)
        bold, plain, texts = (BOLD, NOT_BOLD, COLORED_STATUS) if self.use_colors else ("", "", PLAIN_STATUS)
        return "".join(
            [
                f'{prefix} {client} - "{bold}{method} {path} HTTP/{version}{plain}" {texts[status]}\n'
                for client, method, path, version, status in entries
            ]
        )


class ConsoleHandler(logging.StreamHandler[TextIO]):
    """A handler that prints on the console, coloured where that is a terminal, and survives a console that is gone."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self.is_broken = False

    def setFormatter(self, fmt: logging.Formatter | None) -> None:
        """Use this formatter, with colours if the stream is a terminal, unless the formatter decides that."""
        super().setFormatter(fmt)
        resolve_colors(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record."""
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
        else:
            self.write_threadsafe([f"{line}\n"])

    def write_threadsafe(self, pieces: Iterable[str]) -> None:
        """Write pieces of text, each at once. Never raises: a console that is gone is reported once."""
        self.acquire()
        try:
            for piece in pieces:
                self.stream.write(piece)
                self.flush()
        except Exception as error:
            self.on_write_error(error)
        else:
            self.is_broken = False
        finally:
            self.release()

    def on_write_error(self, error: Exception) -> None:
        """Report on stderr that the stream takes no lines, once until it does again."""
        if not self.is_broken:
            self.is_broken = True
            write_to_stderr(
                f"threadserve: cannot write the log to {getattr(self.stream, 'name', self.stream)}: {error}\n"
            )


def split_for_pipe(text: str) -> Iterator[str]:
    """Yield lines in pieces that a pipe takes as a whole (POSIX, `PIPE_BUF`). A line that is too long comes alone.

    So lines of other processes that write to the same pipe come between these, and not within one.
    """
    limit = PIPE_BUF if text.isascii() else PIPE_BUF // MAX_CHARACTER_BYTES
    start = 0
    while start < len(text):
        end = text.rfind("\n", start, start + limit) + 1 or text.index("\n", start) + 1
        yield text[start:end]
        start = end


def resolve_colors(handler: object) -> None:
    """Turn a formatter's colours on where its handler's stream is a terminal, unless the formatter decides that."""
    if isinstance(handler, logging.StreamHandler):
        formatter = handler.formatter
        if isinstance(formatter, ColourizedFormatter) and formatter.use_colors is None:
            handler.formatter = decided = copy.copy(formatter)
            decided.use_colors = is_terminal(handler.stream)


def write_to_stderr(text: str) -> None:
    """Write to stderr, if there is one that can be written to."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except Exception:
        return


def is_terminal(stream: IO[str]) -> bool:
    """Return whether a stream is an open terminal."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False


def iterate_loggers() -> Iterator[logging.Logger]:
    """Yield all loggers of the process; one that has two names comes twice."""
    yield logging.getLogger()
    for each in logging.Logger.manager.loggerDict.copy().values():
        if isinstance(each, logging.Logger):
            yield each


def iterate_handlers(logger: logging.Logger) -> Iterator[logging.Handler]:
    """Yield the handlers that a logger's records come to, in their order, whatever their levels."""
    current: logging.Logger | None = logger
    while current is not None:
        yield from current.handlers
        current = current.parent if current.propagate else None
