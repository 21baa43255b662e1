"""The mischief that ends threads and workers of the server under load.

Belongs to the thread that conducts the soak. The application says which process and thread answers.
"""

import http.client
import os
import signal
import time
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from urllib.parse import quote

import psutil

from loadtests.soak import sampling
from loadtests.soak.events import Event
from loadtests.soak.sampling import WORKER

HOST, SERVED_BY = "127.0.0.1", "x-served-by"
PATIENCE_SECONDS = 10.0
MOST_CONNECTIONS_PER_LOOP = 20
# A worker ends by itself when 5 of its threads have died within a minute.
DEATHS, DEATHS_SECONDS = 4, 60.0


class Mischief:
    """Mischief to the server on `port` whose process is `pid`; `note` is called with the event.

    Each kind returns False where it could not be done: the process that was asked may just have been ended.
    """

    def __init__(self, port: int, pid: int, note: Callable[[Event], None]) -> None:
        self._port = port
        self._pid = pid
        self._note = note
        self._deaths: dict[str, deque[float]] = defaultdict(lambda: deque([0.0] * DEATHS, maxlen=DEATHS))

    def renew(self) -> bool:
        """Have all workers replaced."""
        workers = tuple(usage.pid for usage in sampling.take(self._pid).of(WORKER))
        self._note(Event(time.time(), "renewal", replaced=workers))
        os.kill(self._pid, signal.SIGHUP)
        return True

    def kill_worker(self) -> bool:
        """Kill a worker that serves, if one says that it does."""
        with closing(self._connect()) as connection:
            pid = served_by(connection).partition(" ")[0]
        if pid not in [str(process.pid) for process in psutil.Process(self._pid).children(recursive=True)]:
            return False
        self._note(Event(time.time(), "worker", pid))
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
        return True

    def kill_thread(self) -> bool:
        """Make a loop thread die, unless its worker would end for it."""
        with closing(self._connect()) as connection:
            victim = served_by(connection)
            deaths, now = self._deaths[victim.partition(" ")[0]], time.time()
            # A server that goes away has closed the connection; another one may be served by any thread.
            if not victim or connection.sock is None or now - deaths[0] < DEATHS_SECONDS:
                return False
            with suppress(OSError, http.client.HTTPException):
                connection.request("GET", f"/die/{quote(victim)}")
                connection.getresponse()
                # The connection was idle, and may have been handed to another thread for this request.
                return False
            deaths.append(now)
            self._note(Event(now, "thread", victim))
        return True

    def touch(self, loops: int) -> None:
        """Have every loop answer on a connection that then ends, and so open what it keeps from then on.

        After too many connections it is given up.
        """
        with ExitStack() as stack:
            victims: set[str] = set()
            for _ in range(loops * MOST_CONNECTIONS_PER_LOOP):
                if len(victims) < loops:
                    victims.add(served_by(stack.enter_context(closing(self._connect()))))

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(HOST, self._port, timeout=PATIENCE_SECONDS)


def served_by(connection: http.client.HTTPConnection) -> str:
    """Return the process and the thread that a connection is served by; "" where that has just ended."""
    with suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/api/items/1")
        response = connection.getresponse()
        response.read()
        return response.getheader(SERVED_BY, "")
    return ""
