"""Where another thread is at the moment.

Runs on the thread that watches others. Nobody reads another thread's frames, which is a use after free on free-threaded
builds before 3.14 (cpython gh-152355): the thread does so itself, in `faulthandler`'s handler of a signal that is sent
to it, wherever it is, and goes on. System calls that the signal interrupts are made again, by Python or by the kernel.
"""

import faulthandler
import inspect
import os
import re
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from tempfile import TemporaryFile

# Of the signals that every system has, the one that nobody expects anything of: without a handler it is ignored.
SIGNAL = signal.SIGURG
# A thread that no signal reaches may be waited for so long: it is in the kernel, or blocks the signal.
PATIENCE_SECONDS = 2.0
LOOK_SECONDS = 0.005
MOST_BYTES = 1_000_000

_frame = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.*)')
# That there are more frames than `faulthandler` tells of.
_more = re.compile(r"  \.\.\.\n")
# What threads that Python starts begin with.
BOOTSTRAP = "_bootstrap"
STATUS = Path("/proc/self/status")

# Held while a signal is under way: there is one handler for the whole process.
_stack_lock = threading.Lock()


def root_of_this_thread() -> str:
    """The function that the calling thread has begun with, by which the end of its stack is known."""
    frame = inspect.currentframe()
    name = BOOTSTRAP
    while frame is not None:
        name, frame = frame.f_code.co_name, frame.f_back
    return name


def told_of(thread: threading.Thread | None, root: str = BOOTSTRAP) -> str:
    """Ends a sentence about a thread with where that is, or why it cannot be told: no file may be left to write to."""
    try:
        return stack_of(thread, root) if thread is not None else "has ended."
    except Exception as error:
        return f"where it is cannot be told: {error}"


def stack_of(thread: threading.Thread, root: str = BOOTSTRAP) -> str:
    """Ends a sentence about a thread, which has begun with the function `root`, with where it is, as a traceback."""
    if thread.ident is None or not thread.is_alive():
        return "has ended."
    with _stack_lock:
        if signal.getsignal(SIGNAL) is not signal.SIG_DFL or is_caught(SIGNAL):
            return f"where it is cannot be told, for something else uses {SIGNAL.name}."
        with TemporaryFile(buffering=0) as file, _handled(file):
            signal.pthread_kill(thread.ident, SIGNAL)
            told = _read_all(file, root)
    return f"is at:\n{_as_traceback(told)}" if told else "where it is cannot be told: it takes no signal."


@contextmanager
def _handled(file: FileIO) -> Iterator[None]:
    """Has a thread that gets the signal write its stack to a file."""
    faulthandler.register(SIGNAL, file, all_threads=False)
    try:
        yield
    finally:
        faulthandler.unregister(SIGNAL)


def is_caught(number: int) -> bool:
    """Whether something handles a signal of which Python does not know, such as a `faulthandler` of the program's."""
    try:
        caught = re.search(r"^SigCgt:\s*([0-9a-f]+)", STATUS.read_text(), re.MULTILINE)
    except OSError:
        return False
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)


def _read_all(file: FileIO, root: str) -> str:
    """What has been written, once that is all, or when the time for it is over."""
    first = re.compile(rf"  File .* in {re.escape(root)}\n\Z")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        # Not from where the file is: that is where the thread writes on.
        told = os.pread(file.fileno(), MOST_BYTES, 0).decode("ascii", "replace")
        if first.search(told) or _more.search(told) or time.monotonic() > deadline:
            return told
        time.sleep(LOOK_SECONDS)


def _as_traceback(told: str) -> str:
    """What `faulthandler` has written, in the order and with the lines of a traceback."""
    frames = [(match["file"], int(match["line"]), match["name"], None) for match in _frame.finditer(told)]
    return "".join(traceback.StackSummary.from_list(reversed(frames)).format()).rstrip()
