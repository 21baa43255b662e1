"""A console of the test's own, for what is written to the access log."""

import io
from collections.abc import Iterator

import pytest
from support.access_console import console_on

from threadserve.logging import ConsoleHandler
from threadserve.logging.access_log import AccessLogWriter


@pytest.fixture
def stream() -> io.StringIO:
    """What the console has got."""
    return io.StringIO()


@pytest.fixture
def console(stream: io.StringIO) -> Iterator[ConsoleHandler]:
    """The only handler of the access log."""
    with console_on(stream) as handler:
        yield handler


@pytest.fixture
def writer() -> Iterator[AccessLogWriter]:
    """A writer whose thread runs."""
    writer = AccessLogWriter()
    writer.start()
    yield writer
    writer.stop()
