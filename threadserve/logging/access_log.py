"""The access log: loops collect entries, one thread writes them.

`AccessLog` belongs to its loop's thread and costs a request one append; it never formats, and takes a lock only to
hand over a batch. `AccessLogWriter` owns the writer thread, which alone formats and writes, so a slow console or
handler never holds up a loop. The queue is bounded: beyond `MAX_WAITING_LINES` lines are dropped, counted and reported.

With `access_log_format` the entries are the facts that the format asks for, and the writer makes the lines of them.

Lines reach the handlers up to `FLUSH_SECONDS` after the response. Handlers, filters and formatters that somebody
has set up get records, with the time, the thread and the context variables of the response's end.
"""

import asyncio
import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote

from threadserve.logging.access_format import AccessFacts, AccessFormat, make_access_format
from threadserve.logging.formatters import (
    AccessEntry,
    AccessFormatter,
    ConsoleHandler,
    iterate_handlers,
    split_for_pipe,
)
from threadserve.logging.wording import format_count

__all__ = ["AccessEntry", "AccessLog", "AccessLogWriter"]

MESSAGE = '%s - "%s %s HTTP/%s" %d'
WITHOUT_ARGS = "%.0s" * 5
FLUSH_SECONDS = 0.05
MAX_WAITING_LINES = 100_000
CHUNK_LINES = 1_000

PRINTABLE_BYTES = bytes(range(0x20, 0x7F))
CONTROL_BYTES = bytes([*range(0x20), 0x7F])

Entry = AccessEntry | AccessFacts
"""The facts of a request for a format, or the values that the default line shows."""


class Moment(NamedTuple):
    """The time, thread and context of a response's end."""

    time: float
    thread: threading.Thread
    context: contextvars.Context


Batch = tuple[list[Entry], Sequence[Moment]]
"""Entries, and as many moments or none."""

access_logger = logging.getLogger("threadserve.access")
logger = logging.getLogger("threadserve.error")


class AccessLog:
    """The entries of one loop, handed to the writer in batches. Every method runs on the loop's thread.

    `add(entry)` takes `AccessFacts` if there is a `format`, or else an `AccessEntry`. It is looked up again for each
    request: the first entry after a flush schedules the next flush, and until then `add` is the list's own `append`,
    which costs a quarter of a method that would have to ask whether it is the first; where records are to be made of
    the entries, it notes the moment as well.
    """

    __slots__ = ("_entries", "_loop", "_moments", "_thread", "_writer", "add", "format")

    add: Callable[[Entry], None]

    def __init__(self, loop: asyncio.AbstractEventLoop, writer: "AccessLogWriter", format: str | None = None) -> None:
        self._loop = loop
        self._writer = writer
        self.format = make_access_format(format)
        self._thread = threading.current_thread()
        self._entries: list[Entry] = []
        self._moments: list[Moment] = []
        self.add = self._add_first

    def _add_first(self, entry: Entry) -> None:
        self._loop.call_later(FLUSH_SECONDS, self.flush)
        self.add = self._entries.append if find_direct_console() is not None else self._add_with_moment
        self.add(entry)

    def _add_with_moment(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._moments.append(Moment(time.time(), self._thread, contextvars.copy_context()))

    def flush(self) -> None:
        """Hand over the collected entries. Also to be called once after the loop's last request."""
        entries, self._entries = self._entries, []
        moments, self._moments = self._moments, []
        self.add = self._add_first
        if entries:
            self._writer.write_threadsafe(entries, moments)


class AccessLogWriter:
    """The thread that writes the access log of all loops, in the format of this text or in the default one.

    Lines of one loop keep their order. The levels, handlers and filters of the logger `threadserve.access` are looked
    at for each batch, so changes while serving take effect.
    """

    def __init__(self, format: str | None = None) -> None:
        chosen = make_access_format(format)
        self._write: Callable[[list[Any], Sequence[Moment]], None] = (
            partial(write_formatted, chosen) if chosen else write_entries
        )
        # Guards the next four attributes, which loops and the writer thread share.
        self._handover = threading.Condition()
        self._batches: deque[Batch] = deque()
        self._waiting = 0
        self._dropped = 0
        self._stopping = False
        # In an empty context: on free-threaded builds from 3.14 on a thread inherits its starter's.
        self._thread = threading.Thread(
            target=contextvars.Context().run, args=(self._write_all,), name="threadserve-access-log", daemon=True
        )

    def start(self) -> None:
        """Start the thread. To be called once."""
        self._thread.start()

    def stop(self) -> None:
        """Write everything that was handed over, and end the thread. Later entries are dropped."""
        with self._handover:
            self._stopping = True
            self._handover.notify()
        if self._thread.is_alive():
            self._thread.join()

    def write_threadsafe(self, entries: list[Entry], moments: Sequence[Moment] = ()) -> None:
        """Take ownership of entries, and of as many moments or none. Never blocks on the console."""
        with self._handover:
            if self._stopping or self._waiting + len(entries) > MAX_WAITING_LINES:
                self._dropped += len(entries)
                return
            self._batches.append((entries, moments))
            self._waiting += len(entries)
            self._handover.notify()

    def _write_all(self) -> None:
        while batches := self._take_batches():
            while batches:
                entries, moments = batches.popleft()
                for start in range(0, len(entries), CHUNK_LINES):
                    chunk = slice(start, start + CHUNK_LINES)
                    self._write(entries[chunk], moments[chunk])
                self._on_written(len(entries))
            self._report_dropped()

    def _take_batches(self) -> deque[Batch]:
        """Wait for batches and return them; none when stopping and all is written."""
        with self._handover:
            while not self._batches and not self._stopping:
                self._handover.wait()
            batches, self._batches = self._batches, deque()
            return batches

    def _on_written(self, count: int) -> None:
        with self._handover:
            self._waiting -= count

    def _report_dropped(self) -> None:
        with self._handover:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            logger.warning(
                "Access log: %s dropped, the console or a log handler was too slow", format_count(dropped, "line")
            )


def write_entries(entries: list[AccessEntry], moments: Sequence[Moment] = ()) -> None:
    """Write entries straight to the console where that makes no visible difference, or else as log records."""
    if not has_takers():
        return
    if not is_printable(entries):
        entries = [quote_entry(entry) for entry in entries]
    direct = find_direct_console()
    if direct is not None:
        console, formatter = direct
        console.write_threadsafe(split_for_pipe(formatter.format_lines(entries)))
    else:
        write_records(entries, moments)


def write_formatted(format: AccessFormat, entries: list[AccessFacts], moments: Sequence[Moment]) -> None:
    """Write entries as `write_entries` does, in a format."""
    if not has_takers():
        return
    lines = [format.format_line(facts) for facts in entries]
    direct = find_direct_console()
    if direct is not None:
        direct[0].write_threadsafe(split_for_pipe("".join([f"{line}\n" for line in lines])))
    else:
        write_records([quote_entry(make_default_entry(facts)) for facts in entries], moments, lines)


def has_takers() -> bool:
    """Return whether anything takes access records."""
    return access_logger.isEnabledFor(logging.INFO) and access_logger.hasHandlers()


def find_direct_console() -> tuple[ConsoleHandler, AccessFormatter] | None:
    """Return the handler and formatter that alone take access records, if both are ours and nobody filters."""
    takers = [handler for handler in iterate_handlers(access_logger) if handler.level <= logging.INFO]
    if access_logger.filters or len(takers) != 1:
        return None
    (console,) = takers
    if type(console) is not ConsoleHandler or console.filters:
        return None
    formatter = console.formatter
    if not isinstance(formatter, AccessFormatter) or not formatter.has_default_format():
        return None
    return console, formatter


def write_records(entries: list[AccessEntry], moments: Sequence[Moment], lines: list[str] | None = None) -> None:
    """Hand every entry to the logger as a record; errors of handlers and filters are reported once for all.

    The message of a record is its line, where there are `lines`. Its args are the entry in any case, for filters.
    """
    failures: list[Exception] = []
    for position, entry in enumerate(entries):
        record = access_logger.makeRecord(access_logger.name, logging.INFO, __file__, 0, MESSAGE, entry, None)
        if lines is not None:
            record.access_line = lines[position]
            record.msg = lines[position].replace("%", "%%") + WITHOUT_ARGS
        try:
            if moments:
                handle_record_at(moments[position], record)
            else:
                access_logger.handle(record)
        except Exception as error:
            failures.append(error)
    if failures:
        logger.error(
            "Access log: %s failed in a log handler or filter",
            format_count(len(failures), "line"),
            exc_info=failures[0],
        )


def handle_record_at(moment: Moment, record: logging.LogRecord) -> None:
    """Hand a record to the logger as if it were made at that moment."""
    record.relativeCreated += (moment.time - record.created) * 1000
    record.created = moment.time
    record.msecs = moment.time % 1 * 1000 // 1
    record.thread, record.threadName = moment.thread.ident, moment.thread.name
    moment.context.run(access_logger.handle, record)


def is_printable(entries: list[AccessEntry]) -> bool:
    """Return whether all texts are ASCII without control characters, so that none can break or forge a line."""
    clients, methods, paths, versions, _ = zip(*entries, strict=True)
    text = "".join(clients + methods + paths + versions)
    return text.isascii() and len(text.encode().translate(None, CONTROL_BYTES)) == len(text)


def quote_entry(entry: AccessEntry) -> AccessEntry:
    """Return an entry with everything but printable ASCII percent-encoded."""
    client, method, path, version = (quote(text, PRINTABLE_BYTES, errors="backslashreplace") for text in entry[:4])
    return client, method, path, version, entry[4]


def make_default_entry(facts: AccessFacts) -> AccessEntry:
    """Return the values that the default line would show of a request."""
    target = facts.target.decode("ascii", "backslashreplace")
    return facts.label, facts.method, target, facts.version, facts.status
