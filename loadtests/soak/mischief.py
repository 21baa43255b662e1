"""What ends threads and workers of the server under load, on purpose.

Belongs to the thread that conducts the soak. Which process and thread answers is what the application says.
"""

import http.client
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress

from loadtests.clients.steady import HOST, SERVED_BY
from loadtests.errors import LoadTestError
from loadtests.servers import memory
from loadtests.soak import sampling
from loadtests.soak.events import Event

PATIENCE = 10.0
# A worker ends by itself when 5 of its threads have died within a minute.
DEATHS = 4
DEATHS_WINDOW = 60.0


class Mischief:
    """Does what is to be done to the server on `port` whose process is `pid`; `note` hears of it right before.

    What ends a thread or a worker returns whether it has: what it asked may just have been ended by something else.
    """

    def __init__(self, port: int, pid: int, note: Callable[[Event], None]) -> None:
        self._port = port
        self._pid = pid
        self._note = note
        self._deaths: dict[int, deque[float]] = {}

    def renew(self) -> bool:
        """Has all workers replaced."""
        before = tuple(usage.pid for usage in sampling.take(self._pid).workers)
        self._note(Event(time.time(), "renewal", self._pid, replaced=before))
        os.kill(self._pid, signal.SIGHUP)
        return True

    def kill_worker(self) -> bool:
        """Kills a worker that serves, if one says that it does."""
        with closing(self._connect()) as connection:
            pid, _ = self._served_by(connection)
        if pid not in [process.pid for process in memory.tree(self._pid)[1:]]:
            return False
        self._note(Event(time.time(), "worker", pid))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return True

    def kill_thread(self) -> bool:
        """Makes a loop thread die, unless its worker would end for it; raises LoadTestError where it lives on."""
        with closing(self._connect()) as connection:
            pid, thread = self._served_by(connection)
            if not pid or not self._may_die(pid):
                return False
            self._note(Event(time.time(), "thread", pid, thread))
            try:
                connection.request("GET", "/die")
                connection.getresponse()
            except (OSError, http.client.HTTPException):
                return True
            raise LoadTestError("the application answers instead of dying")

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(HOST, self._port, timeout=PATIENCE)

    def _served_by(self, connection: http.client.HTTPConnection) -> tuple[int, str]:
        """Process and thread that a connection is served by; (0, "") where that has just ended."""
        try:
            connection.request("GET", "/whoami")
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            return 0, ""
        pid, _, thread = response.getheader(SERVED_BY, "0").partition(" ")
        return int(pid), thread

    def _may_die(self, pid: int) -> bool:
        deaths = self._deaths.setdefault(pid, deque(maxlen=DEATHS))
        now = time.monotonic()
        if len(deaths) == DEATHS and now - deaths[0] < DEATHS_WINDOW:
            return False
        deaths.append(now)
        return True
