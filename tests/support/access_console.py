"""The access log on a console of the test's own, and what reaches it."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from threadserve.logging.access_log import AccessEntry, AccessLogWriter
from threadserve.logging.formatters import ACCESS_FORMAT, AccessFormatter, ConsoleHandler

parent = logging.getLogger("threadserve")
access = logging.getLogger("threadserve.access")


def entry(path: object) -> AccessEntry:
    """The entry of a request for a path."""
    return ("127.0.0.1:1", "GET", f"/{path}", "1.1", 200)


def line(path: object) -> str:
    """The line of such a request."""
    return f'INFO:     127.0.0.1:1 - "GET /{path} HTTP/1.1" 200 OK\n'


class Seen(logging.Handler):
    """A handler that keeps the records."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a record."""
        self.records.append(record)

    @property
    def messages(self) -> list[str]:
        """What the records say."""
        return [record.getMessage() for record in self.records]


def console_handler(stream: io.StringIO, *, use_colors: bool = False, fmt: str = ACCESS_FORMAT) -> ConsoleHandler:
    """The access log's handler of the default configuration."""
    handler = ConsoleHandler(stream)
    handler.setFormatter(AccessFormatter(fmt, use_colors=use_colors))
    return handler


@contextmanager
def console_on(stream: io.StringIO) -> Iterator[ConsoleHandler]:
    """The default configuration on a stream, cut off from the other loggers.

    Not by `propagate`: where that is off pytest adds handlers of its own.
    """
    handler = console_handler(stream)
    before = [(logger, dict(vars(logger))) for logger in (parent, access)]
    parent.handlers, parent.parent = [ConsoleHandler(io.StringIO())], None
    access.handlers, access.parent = [handler], None
    parent.propagate = access.propagate = True
    access.setLevel(logging.INFO)
    yield handler
    for logger, attributes in before:
        logger.filters.clear()
        vars(logger).update(attributes)
        logger.setLevel(attributes["level"])


@contextmanager
def errors_seen() -> Iterator[Seen]:
    """What the server's own logger says."""
    logger = logging.getLogger("threadserve.error")
    seen = Seen(logging.WARNING)
    logger.addHandler(seen)
    yield seen
    logger.removeHandler(seen)


def written(entries: list[AccessEntry]) -> None:
    """Writes entries through a writer, from its start to its end."""
    writer = AccessLogWriter()
    writer.start()
    writer.write_threadsafe(list(entries))
    writer.stop()
