"""Where another thread is at the moment.

Runs on the thread that watches a pool. Reading the frames of a running thread is a use after free on free-threaded
builds before 3.14 (cpython gh-152355), so nothing is read there.
"""

import sys
import threading
import traceback

from threadserve.config.build import free_threaded_build

CAN_BE_READ = not free_threaded_build() or sys.version_info >= (3, 14)


def stack_of(thread: threading.Thread | None) -> str:
    """Ends a sentence about a thread with where that is."""
    if not CAN_BE_READ:
        return "where it is cannot be told on a free-threaded build before Python 3.14."
    ident = thread.ident if thread is not None else None
    frame = sys._current_frames().get(ident) if ident is not None else None
    return "is at:\n" + "".join(traceback.format_stack(frame)).rstrip() if frame is not None else "has ended."
