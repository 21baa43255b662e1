"""Log files that are opened anew once they have been moved away."""

import logging
import queue
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from logging.handlers import MemoryHandler, QueueHandler, QueueListener, RotatingFileHandler, WatchedFileHandler
from pathlib import Path

import pytest
from support.loggers import error, parent, restored_loggers

from threadserve.logging.reopening import reopen_log_files

AddHandler = Callable[[logging.Logger, logging.Handler], logging.Handler]


@pytest.fixture(autouse=True)
def _restored_loggers() -> Iterator[None]:
    with restored_loggers():
        error.setLevel(logging.INFO)
        yield


@pytest.fixture
def add() -> Iterator[AddHandler]:
    """`add(logger, handler)` adds a handler, which is closed and taken away in the end."""
    with ExitStack() as stack:

        def add_handler(logger: logging.Logger, handler: logging.Handler) -> logging.Handler:
            stack.enter_context(closing(handler))
            logger.addHandler(handler)
            stack.callback(logger.removeHandler, handler)
            return handler

        yield add_handler


@pytest.mark.parametrize("kind", [logging.FileHandler, RotatingFileHandler, WatchedFileHandler])
@pytest.mark.parametrize("name", ["", "threadserve", "threadserve.access", "an.application"])
def test_lines_go_to_the_new_file(tmp_path: Path, add: AddHandler, kind: type[logging.FileHandler], name: str) -> None:
    logger = logging.getLogger(name)
    add(logger, kind(tmp_path / "log"))
    logger.error("before")
    (tmp_path / "log").rename(tmp_path / "log.1")
    reopen_log_files()
    logger.error("after")
    assert "before" in (tmp_path / "log.1").read_text()
    assert "after" not in (tmp_path / "log.1").read_text()
    assert (tmp_path / "log").read_text().endswith("after\n")
    assert "before" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("mode", ["w", "a", "x"])
def test_a_file_that_is_still_there_keeps_its_lines(tmp_path: Path, add: AddHandler, mode: str) -> None:
    handler = add(parent, logging.FileHandler(tmp_path / "log", mode))
    parent.error("before")
    reopen_log_files()
    parent.error("after")
    lines = (tmp_path / "log").read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert isinstance(handler, logging.FileHandler)
    assert handler.mode == mode


def test_files_behind_a_memory_and_behind_a_queue(tmp_path: Path, add: AddHandler) -> None:
    names = ["memory", "queue"]
    memory, queued = (logging.FileHandler(tmp_path / name) for name in names)
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    through = QueueHandler(waiting)
    through.listener = QueueListener(waiting, queued)  # type: ignore[attr-defined,unused-ignore]
    add(parent, MemoryHandler(1, target=memory))
    add(parent, through)
    for name in names:
        (tmp_path / name).unlink()
    reopen_log_files()
    assert all((tmp_path / name).exists() for name in names)
    queued.close()
    memory.close()


def test_a_file_that_was_never_opened_stays_so(tmp_path: Path, add: AddHandler) -> None:
    add(logging.getLogger("an.application"), logging.FileHandler(tmp_path / "log", delay=True))
    reopen_log_files()
    assert not (tmp_path / "log").exists()


def test_where_no_file_is_open_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("threadserve.logging.reopening.list_file_handlers", list)
    reopen_log_files()
    assert caplog.messages == []


def test_a_file_that_cannot_be_opened_is_named_and_the_old_one_kept(
    tmp_path: Path, add: AddHandler, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    add(parent, logging.FileHandler(folder / "log"))
    add(parent, logging.FileHandler(tmp_path / "other"))
    folder.rename(tmp_path / "moved")
    reopen_log_files()
    parent.error("after")
    assert caplog.messages[0] == f"The log file {folder / 'log'} cannot be reopened: No such file or directory"
    assert re.fullmatch(r"Reopened \d+ log files?\.", caplog.messages[1])
    assert (tmp_path / "moved" / "log").read_text().endswith("after\n")
