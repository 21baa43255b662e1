"""The access log: loops collect entries, one thread writes them.

`AccessLog` belongs to its loop's thread and costs a request one append; it never formats and takes a lock only to
hand a batch over. `AccessLogWriter` owns the writer thread, which alone formats and writes, so a slow console or
handler never holds up a loop. What waits is bounded: beyond `MAX_WAITING` lines are dropped, counted and reported.

With `access_log_format` the entries are the facts that the format asks for, and the writer makes the lines of them.

Lines reach the handlers up to `FLUSH_SECONDS` after the response. Where they are records, for handlers, filters and
formatters that somebody has set up, they have the time, the thread and the context variables of the response's end.
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

from threadserve.logging.access_format import AccessFacts, AccessFormat, access_format
from threadserve.logging.formatters import AccessEntry, AccessFormatter, ConsoleHandler, iterate_handlers
from threadserve.logging.wording import format_count

__all__ = ["AccessEntry", "AccessLog", "AccessLogWriter"]

MESSAGE = '%s - "%s %s HTTP/%s" %d'
WITHOUT_ARGS = "%.0s" * 5
FLUSH_SECONDS = 0.05
MAX_WAITING = 100_000
CHUNK_LINES = 1_000

PRINTABLE = bytes(range(0x20, 0x7F))
CONTROL = bytes([*range(0x20), 0x7F])

Entry = AccessEntry | AccessFacts
"""What is kept of a request: facts where there is a format, else what the default line shows."""


class Moment(NamedTuple):
    """When, by which thread and in which context a response came to its end."""

    time: float
    thread: threading.Thread
    context: contextvars.Context


Batch = tuple[list[Entry], Sequence[Moment]]
"""Entries, and as many moments or none."""

access_logger = logging.getLogger("threadserve.access")
error_logger = logging.getLogger("threadserve.error")


class AccessLog:
    """Collects one loop's entries and hands them to the writer. Every method runs on the loop's thread.

    `add(entry)` takes `AccessFacts` if there is a `format`, or else an `AccessEntry`. It is looked up anew for each
    request: the first entry after a flush schedules the next flush, and until then `add` is the list's own `append`,
    which costs a quarter of a method that would have to ask whether it is the first; where records are to be made of
    the entries, it notes the moment as well.
    """

    __slots__ = ("_entries", "_loop", "_moments", "_thread", "_writer", "add", "format")

    add: Callable[[Entry], None]

    def __init__(self, loop: asyncio.AbstractEventLoop, writer: "AccessLogWriter", format: str | None = None) -> None:
        self._loop = loop
        self._writer = writer
        self.format = access_format(format)
        self._thread = threading.current_thread()
        self._entries: list[Entry] = []
        self._moments: list[Moment] = []
        self.add = self._add_first

    def _add_first(self, entry: Entry) -> None:
        self._loop.call_later(FLUSH_SECONDS, self.flush)
        self.add = self._entries.append if fast_lane_now() is not None else self._add_with_moment
        self.add(entry)

    def _add_with_moment(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._moments.append(Moment(time.time(), self._thread, contextvars.copy_context()))

    def flush(self) -> None:
        """Hands over what was collected. Also to be called once after the loop's last request."""
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
        chosen = access_format(format)
        self._write: Callable[[list[Any], Sequence[Moment]], None] = (
            partial(write_formatted, chosen) if chosen else write
        )
        self._handover = threading.Condition()
        """Guards the four below, which loops and the writer thread share."""
        self._batches: deque[Batch] = deque()
        self._waiting = 0
        self._dropped = 0
        self._stopping = False
        # In an empty context: on free-threaded builds from 3.14 on a thread inherits its starter's.
        self._thread = threading.Thread(
            target=contextvars.Context().run, args=(self._write_all,), name="threadserve-access-log", daemon=True
        )

    def start(self) -> None:
        """Starts the thread. To be called once."""
        self._thread.start()

    def stop(self) -> None:
        """Returns when everything handed in is written and the thread has ended. What comes later is dropped."""
        with self._handover:
            self._stopping = True
            self._handover.notify()
        if self._thread.is_alive():
            self._thread.join()

    def write_threadsafe(self, entries: list[Entry], moments: Sequence[Moment] = ()) -> None:
        """Takes entries, and the moment of each or none, for its own. Never blocks on the console."""
        with self._handover:
            if self._stopping or self._waiting + len(entries) > MAX_WAITING:
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
        """What waits to be written, as soon as there is any; nothing when stopping and all is written."""
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
            error_logger.warning(
                "Access log: %s dropped, the console or a log handler was too slow", format_count(dropped, "line")
            )


def write(entries: list[AccessEntry], moments: Sequence[Moment] = ()) -> None:
    """Writes entries the fastest way that shows no difference: lines straight to the console, or else log records."""
    if not is_wanted():
        return
    if not is_printable(entries):
        entries = [printable(entry) for entry in entries]
    fast_lane = fast_lane_now()
    if fast_lane is not None:
        console, formatter = fast_lane
        console.write_threadsafe(formatter.format_lines(entries))
    else:
        write_records(entries, moments)


def write_formatted(format: AccessFormat, entries: list[AccessFacts], moments: Sequence[Moment]) -> None:
    """Writes entries as `write` does, in a format."""
    if not is_wanted():
        return
    lines = [format.line(facts) for facts in entries]
    fast_lane = fast_lane_now()
    if fast_lane is not None:
        fast_lane[0].write_threadsafe("".join([f"{line}\n" for line in lines]))
    else:
        write_records([printable(entry_of(facts)) for facts in entries], moments, lines)


def is_wanted() -> bool:
    """Whether anything takes access records."""
    return access_logger.isEnabledFor(logging.INFO) and access_logger.hasHandlers()


def fast_lane_now() -> tuple[ConsoleHandler, AccessFormatter] | None:
    """The handler and formatter that alone make something of access records, if both are ours and nobody filters."""
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
    """Hands every entry to the logger as a record; what a handler or filter raises is reported once for all.

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
                handle_at(moments[position], record)
            else:
                access_logger.handle(record)
        except Exception as error:
            failures.append(error)
    if failures:
        error_logger.error(
            "Access log: %s failed in a log handler or filter",
            format_count(len(failures), "line"),
            exc_info=failures[0],
        )


def handle_at(moment: Moment, record: logging.LogRecord) -> None:
    """Hands a record to the logger as if it were made at that moment."""
    record.relativeCreated += (moment.time - record.created) * 1000
    record.created = moment.time
    record.msecs = moment.time % 1 * 1000 // 1
    record.thread, record.threadName = moment.thread.ident, moment.thread.name
    moment.context.run(access_logger.handle, record)


def is_printable(entries: list[AccessEntry]) -> bool:
    """Whether all texts are ASCII without control characters, so that nothing in them can break or forge a line."""
    clients, methods, paths, versions, _ = zip(*entries, strict=True)
    text = "".join(clients + methods + paths + versions)
    return text.isascii() and len(text.encode().translate(None, CONTROL)) == len(text)


def printable(entry: AccessEntry) -> AccessEntry:
    """An entry with everything but printable ASCII percent-encoded."""
    client, method, path, version = (quote(text, PRINTABLE, errors="backslashreplace") for text in entry[:4])
    return client, method, path, version, entry[4]


def entry_of(facts: AccessFacts) -> AccessEntry:
    """What the default line would show of a request."""
    target = facts.target.decode("ascii", "backslashreplace")
    return facts.label, facts.method, target, facts.version, facts.status
