"""Has the main thread call handlers of signals though it waits for something else.

Python calls them between two steps of the main thread. A signal that comes just before a step in which that thread
waits, for a lock say, is forgotten until the wait is over: it takes another signal to interrupt it.

`Nudger` is made, told to listen and closed on the main thread. Its own thread, which Python tells of every signal by
way of the descriptor for that, passes that on to the loop that had it before and sends the other signal; it never calls
a handler, so that nothing comes of a nudge where no signal waits.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

from threadserve.signals import handled, is_claimed, survive

# What does nothing by default, so that nobody else minds.
NUDGE = signal.SIGURG
# How long, in seconds, the main thread has to call a handler by itself, and again to be in the wait.
PAUSES = (0.1, 1.0)
MINDED = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1)


class Nudger:
    """Nudges the main thread after each of the signals that a server minds."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._found: int | None = None
        self._lock = threading.Lock()
        """Guards the next, which the main thread changes."""
        self._listener_before = -1
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="threadserve-signals", daemon=True)
        self._thread.start()

    def listen(self) -> None:
        """Hears of signals from now on. To be called again in a loop that runs, which may have taken that over."""
        own = self._writer.fileno()
        before = signal.set_wakeup_fd(own, warn_on_full_buffer=False)
        if self._found is None:
            self._found = before
        if before == own:
            return
        with self._lock:
            self._forget()
            # A duplicate: the loop closes its own, whose number may then be anything's.
            self._listener_before = os.dup(before) if before != -1 else -1

    def close(self) -> None:
        """Hears no more."""
        if self._found is not None:
            signal.set_wakeup_fd(self._found)
        self._closed.set()
        self._writer.close()
        self._thread.join()
        self._reader.close()
        self._forget()

    def _forget(self) -> None:
        if self._listener_before != -1:
            os.close(self._listener_before)
            self._listener_before = -1

    def _listen(self) -> None:
        main = threading.main_thread().ident
        while numbers := self._reader.recv(4096):
            came = bytes(number for number in numbers if number != NUDGE)
            self._pass_on(came)
            if main is not None and any(number in MINDED for number in came):
                for pause in PAUSES:
                    if self._closed.wait(pause):
                        return
                    signal.pthread_kill(main, NUDGE)

    def _pass_on(self, numbers: bytes) -> None:
        with self._lock, suppress(OSError):
            if numbers and self._listener_before != -1:
                os.write(self._listener_before, numbers)


@contextmanager
def nudging() -> Iterator[Callable[[], None]]:
    """Gives what `Nudger.listen` is, on the main thread, unless it has a use for that signal itself."""
    if threading.current_thread() is not threading.main_thread() or is_claimed(NUDGE):
        yield lambda: None
        return
    with handled(survive, [NUDGE]), closing(Nudger()) as nudger:
        yield nudger.listen
