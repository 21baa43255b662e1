"""The end of a process that was there for a server, also where the application has left something that goes on.

Runs on the main thread when the server has ended, except for the deadline, which has a thread of its own. It owns
nothing of the application's, and ends nothing before its time.
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

from threadserve.runtime.signals import STOP_SIGNALS, filter_unclaimed

logger = logging.getLogger("threadserve.error")

# For the application's threads, its child processes and its exit handlers, all of which Python waits for.
EXIT_GRACE_SECONDS = 5.0
# The same after a second signal.
FORCED_EXIT_GRACE_SECONDS = 0.5


@contextmanager
def exit_deadline(at_once: Iterable[int] = STOP_SIGNALS) -> Iterator[None]:
    """End the process a while after the server that runs within, whatever goes on, and at once at these signals."""
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
        for number in filter_unclaimed(at_once):
            signal.signal(number, _exit_by_signal)
        threading.Thread(target=_exit_at_deadline, args=(code,), name="threadserve-exit", daemon=True).start()


def _exit_at_deadline(code: int) -> None:
    """End the process after a while, and log what has kept it from ending."""
    threading.Event().wait(FORCED_EXIT_GRACE_SECONDS if code > 128 else EXIT_GRACE_SECONDS)
    names = [
        thread.name for thread in threading.enumerate() if not (thread.daemon or thread is threading.main_thread())
    ]
    if names:
        logger.error("The application's threads do not end: %s. Exiting without them.", ", ".join(names))
    else:
        logger.error("The application's child processes or exit handlers do not end. Exiting without them.")
    exit_now(code, clean=False)


def _exit_by_signal(number: int, frame: FrameType | None) -> None:
    exit_now(128 + number, clean=False)


def exit_now(code: int, *, clean: bool) -> NoReturn:
    """End the process with this code; without `clean`, past threads that never end and that exiting would wait for."""
    if clean:
        sys.exit(code)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
