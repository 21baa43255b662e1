"""Records as JSON objects, one on each line."""

import copy
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.loggers import configured, error, restored_loggers

from threadserve.logging import JsonFormatter

KEYS = ["time", "level", "logger", "message", "pid", "thread", "exception"]


@pytest.fixture(autouse=True)
def _restored_loggers() -> Iterator[None]:
    with restored_loggers():
        yield


def record(message: str = "hello", *args: object, **more: Any) -> logging.LogRecord:
    """A record of the server's log, made at a known time."""
    made = error.makeRecord(error.name, logging.WARNING, __file__, 1, message, args, None, **more)
    made.created = 1_600_000_000.5
    return made


def test_what_a_line_says() -> None:
    line = JsonFormatter().format(record("%s of %d", "one", 2))
    assert list(json.loads(line)) == KEYS
    assert json.loads(line) == {
        "time": "2020-09-13T12:26:40.500+00:00",
        "level": "WARNING",
        "logger": "threadserve.error",
        "message": "one of 2",
        "pid": os.getpid(),
        "thread": threading.current_thread().name,
        "exception": None,
    }


@given(st.text(), st.text())
def test_every_line_is_one_line(message: str, name: str) -> None:
    made = record("%s", message)
    made.threadName = name
    line = JsonFormatter().format(made)
    assert line.isascii()
    assert line.isprintable()
    assert (json.loads(line)["message"], json.loads(line)["thread"]) == (message, name)


def test_a_traceback_is_text_on_the_same_line_and_the_record_is_as_before() -> None:
    made = record()
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        made.exc_info = sys.exc_info()
    before = copy.copy(vars(made))
    line = JsonFormatter().format(made)
    assert "\n" not in line
    text = json.loads(line)["exception"]
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith("ValueError: first\nsecond")
    assert vars(made) == before


def test_a_traceback_that_another_formatter_made_is_kept() -> None:
    made = record()
    made.exc_text = "made before"
    made.stack_info = "Stack (most recent call last):"
    assert json.loads(JsonFormatter().format(made))["exception"] == "made before\nStack (most recent call last):"


def test_colours_stay_out_of_it() -> None:
    made = record()
    made.color_message = "\x1b[1mhello\x1b[0m"
    assert json.loads(JsonFormatter().format(made))["message"] == "hello"


def test_exc_info_where_nothing_is_being_handled() -> None:
    made = record()
    made.exc_info = (None, None, None)
    assert json.loads(JsonFormatter().format(made))["exception"] is None


@pytest.mark.parametrize("key", ["()", "class"])
def test_a_configuration_names_it(capsys: pytest.CaptureFixture[str], key: str) -> None:
    configured(
        log_config={
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"lines": {key: "threadserve.logging.JsonFormatter"}},
            "handlers": {"default": {"class": "logging.StreamHandler", "formatter": "lines"}},
            "loggers": {"threadserve": {"handlers": ["default"], "level": "INFO", "propagate": False}},
        }
    )
    error.info("hello")
    assert json.loads(capsys.readouterr().err)["message"] == "hello"
