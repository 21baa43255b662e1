"""Where another thread is at the moment.

Runs on the thread that watches others. Nobody reads another thread's frames, which is a use after free on free-threaded
builds before 3.14 (cpython gh-152355): the thread does so itself, in `faulthandler`'s handler of a signal that is sent
to it, wherever it is, and goes on. System calls that the signal interrupts are made again, by Python or by the kernel.
"""

import faulthandler
import os
import re
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import BinaryIO

# Of the signals that every system has, the one that nobody expects anything of: without a handler it is ignored.
SIGNAL = signal.SIGURG
# A thread that no signal reaches may be waited for so long: it is in the kernel, or blocks the signal.
PATIENCE_SECONDS = 2.0
LOOK_SECONDS = 0.005
MOST_BYTES = 1_000_000

_frame = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.*)')
# A thread's first frame, or that there are more than `faulthandler` tells of.
_end = re.compile(r"  File .* in _bootstrap\n|  \.\.\.\n")

# Held while a signal is under way: there is one handler for the whole process.
_stack_lock = threading.Lock()


def told_of(thread: threading.Thread | None) -> str:
    """Ends a sentence about a thread with where that is, or why it cannot be told: no file may be left to write to."""
    try:
        return stack_of(thread) if thread is not None else "has ended."
    except Exception as error:
        return f"where it is cannot be told: {error}"


def stack_of(thread: threading.Thread) -> str:
    """Ends a sentence about a thread with where that is, as a traceback shows it."""
    if thread.ident is None or not thread.is_alive():
        return "has ended."
    with _stack_lock:
        if signal.getsignal(SIGNAL) is not signal.SIG_DFL:
            return f"where it is cannot be told, for something else uses {SIGNAL.name}."
        with TemporaryFile(buffering=0) as file, _handled(file):
            signal.pthread_kill(thread.ident, SIGNAL)
            told = _read_all(file)
    return f"is at:\n{_as_traceback(told)}" if told else "where it is cannot be told: it takes no signal."


@contextmanager
def _handled(file: BinaryIO) -> Iterator[None]:
    """Has a thread that gets the signal write its stack to a file."""
    faulthandler.register(SIGNAL, file, all_threads=False)
    try:
        yield
    finally:
        faulthandler.unregister(SIGNAL)


def _read_all(file: BinaryIO) -> str:
    """What has been written, once that is all, or when the time for it is over."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        # Not from where the file is: that is where the thread writes on.
        told = os.pread(file.fileno(), MOST_BYTES, 0).decode("ascii", "replace")
        if _end.search(told) or time.monotonic() > deadline:
            return told
        time.sleep(LOOK_SECONDS)


def _as_traceback(told: str) -> str:
    """What `faulthandler` has written, in the order and with the lines of a traceback."""
    frames = [(match["file"], int(match["line"]), match["name"], None) for match in _frame.finditer(told)]
    return "".join(traceback.StackSummary.from_list(reversed(frames)).format()).rstrip()
