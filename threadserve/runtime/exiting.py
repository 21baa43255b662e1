"""How a process ends that was there for a server: also where the application has left something that goes on.

Runs on the main thread when the server has ended, but for the timer, which has a thread of its own. It owns nothing of
the application's, and ends nothing before its time.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from threadserve.runtime.signals import STOPPING, unclaimed

logger = logging.getLogger("threadserve.error")

# How long, in seconds, Python may wait for the application's threads, its child processes and what it has at exit.
GRACE = 5.0
# The same after a second signal, for what ends in order.
HURRIED_GRACE = 0.5


@contextmanager
def exits_in_time(at_once: Iterable[int] = STOPPING) -> Iterator[None]:
    """Ends the process a while after the server that runs within, whatever goes on, and at once at these signals."""
    code = 0
    try:
        yield
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise
    except BaseException:
        code = 1
        raise
    finally:
        for number in unclaimed(at_once):
            signal.signal(number, exit_by_signal)
        threading.Thread(target=exit_later, args=(code,), name="threadserve-exit", daemon=True).start()


def exit_later(code: int) -> None:
    """Ends the process after a while, and says what for."""
    threading.Event().wait(HURRIED_GRACE if code > 128 else GRACE)
    names = [
        thread.name for thread in threading.enumerate() if not (thread.daemon or thread is threading.main_thread())
    ]
    if names:
        logger.error("The application's threads do not end: %s. Exiting without them.", ", ".join(names))
    else:
        logger.error("The application's child processes or exit handlers do not end. Exiting without them.")
    exit_now(code, clean=False)


def exit_by_signal(number: int, frame: FrameType | None) -> None:
    """Ends the process without waiting for anything. A handler of signals."""
    exit_now(128 + number, clean=False)


def exit_now(code: int, *, clean: bool) -> NoReturn:
    """Ends the process with this code; without `clean`, past threads that never end and that exiting would wait for."""
    if clean:
        sys.exit(code)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
