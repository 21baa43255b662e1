"""The loggers that a configuration touches."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from threadserve import Config
from threadserve.logging.configuring import configure_logging
from threadserve.logging.formatters import iterate_loggers

parent = logging.getLogger("threadserve")
error = logging.getLogger("threadserve.error")
access = logging.getLogger("threadserve.access")


@contextmanager
def restored_loggers() -> Iterator[None]:
    """Puts everything that a test can change on the loggers back; a configuration may disable any that there are."""
    disabled = {logger: logger.disabled for logger in iterate_loggers()}
    loggers = [logging.getLogger(), parent, error, access]
    before = [(logger, {**vars(logger), "handlers": logger.handlers[:], "filters": []}) for logger in loggers]
    yield
    for logger, attributes in before:
        vars(logger).update(attributes)
        logger.setLevel(attributes["level"])
    for logger, was_disabled in disabled.items():
        logger.disabled = was_disabled


def server_messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the server has logged; asyncio may report meanwhile what other tests of the process have left behind."""
    return [record.getMessage() for record in caplog.records if record.name.startswith(parent.name)]


def configured(**settings: Any) -> None:
    """Configures logging as a server with these settings does."""
    configure_logging(Config("main:app", **settings))
