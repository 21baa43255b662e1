"""The stacks of other threads.

Runs on the thread that asks. Reading another thread's frames is a use after free on free-threaded builds before 3.14
(cpython gh-152355). So the other thread writes its stack itself, in `faulthandler`'s handler of a signal that is sent
to it, and goes on. System calls that the signal interrupts are restarted, by Python or by the kernel.
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

# A signal that every system has and nobody uses: without a handler it is ignored.
STACK_SIGNAL = signal.SIGURG
# How long to wait for a thread that is in the kernel or blocks the signal.
MAX_STACK_WAIT_SECONDS = 2.0
POLL_SECONDS = 0.005
MAX_STACK_BYTES = 1_000_000

FRAME_LINE = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.*)')
# `faulthandler`'s mark of a stack that is cut short.
MORE_FRAMES_LINE = re.compile(r"  \.\.\.\n")
# The outermost function of threads that Python starts.
BOOTSTRAP = "_bootstrap"
STATUS_FILE = Path("/proc/self/status")

# Held while a signal is under way: there is one handler for the whole process.
_stack_lock = threading.Lock()


def find_root_function() -> str:
    """Return the name of the calling thread's outermost function, which marks the end of its stack."""
    frame = inspect.currentframe()
    name = BOOTSTRAP
    while frame is not None:
        name, frame = frame.f_code.co_name, frame.f_back
    return name


def describe_thread(thread: threading.Thread | None, root: str = BOOTSTRAP) -> str:
    """Return the end of a sentence about a thread: its stack, or why that cannot be read."""
    try:
        return describe_stack(thread, root) if thread is not None else "has ended."
    except Exception as error:
        return f"where it is cannot be told: {error}"


def describe_stack(thread: threading.Thread, root: str = BOOTSTRAP) -> str:
    """Return the end of a sentence about a thread whose outermost function is `root`: its stack as a traceback."""
    if thread.ident is None or not thread.is_alive():
        return "has ended."
    with _stack_lock:
        if signal.getsignal(STACK_SIGNAL) is not signal.SIG_DFL or is_caught(STACK_SIGNAL):
            return f"where it is cannot be told, for something else uses {STACK_SIGNAL.name}."
        with TemporaryFile(buffering=0) as file, _write_stack_on_signal(file):
            signal.pthread_kill(thread.ident, STACK_SIGNAL)
            text = _read_all(file, root)
    return f"is at:\n{_format_traceback(text)}" if text else "where it is cannot be told: it takes no signal."


@contextmanager
def _write_stack_on_signal(file: FileIO) -> Iterator[None]:
    """Let a thread that gets the signal write its stack to a file."""
    faulthandler.register(STACK_SIGNAL, file, all_threads=False)
    try:
        yield
    finally:
        faulthandler.unregister(STACK_SIGNAL)


def is_caught(number: int) -> bool:
    """Return whether a handler that Python does not know of, such as the program's `faulthandler`, catches a signal."""
    try:
        caught = re.search(r"^SigCgt:\s*([0-9a-f]+)", STATUS_FILE.read_text(), re.MULTILINE)
    except OSError:
        return False
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)


def _read_all(file: FileIO, root: str) -> str:
    """Return what has been written, once it is complete or the time is over."""
    first = re.compile(rf"  File .* in {re.escape(root)}\n\Z")
    deadline = time.monotonic() + MAX_STACK_WAIT_SECONDS
    while True:
        # `pread` leaves the file's position alone, at which the thread writes on.
        text = os.pread(file.fileno(), MAX_STACK_BYTES, 0).decode("ascii", "replace")
        if first.search(text) or MORE_FRAMES_LINE.search(text) or time.monotonic() > deadline:
            return text
        time.sleep(POLL_SECONDS)


def _format_traceback(text: str) -> str:
    """Return `faulthandler`'s output in the order and with the source lines of a traceback."""
    frames = [(match["file"], int(match["line"]), match["name"], None) for match in FRAME_LINE.finditer(text)]
    return "".join(traceback.StackSummary.from_list(reversed(frames)).format()).rstrip()


def find_innermost_frame(stack: str) -> str:
    """Return the innermost frame in a thread's stack: file, line and function."""
    places = [line.strip() for line in stack.splitlines() if line.startswith("  File ")]
    return places[-1] if places else ""
