"""A server that runs in a thread of the test's own process: quick to start, and its application can be reached."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from support.waiting import DEADLINE, wait_until

from threadserve import Config, Server


class EmbeddedServer:
    """Serves `app` on a free port. The log is left to pytest, which sees it through the root logger."""

    def __init__(self, app: Any, **settings: Any) -> None:
        self.server = Server(Config(app, **{"port": 0, "log_config": None, **settings}))
        self.thread = threading.Thread(target=self._run, name="embedded-server", daemon=True)
        self.threads_before: set[threading.Thread] = set()
        self.failure: BaseException | None = None

    def _run(self) -> None:
        try:
            self.server.run()
        except BaseException as error:
            self.failure = error

    def start(self) -> None:
        """Starts the server and waits until it serves; raises what `Server.run` raised."""
        self.threads_before = set(threading.enumerate())
        self.thread.start()
        wait_until(lambda: self.server.started or not self.thread.is_alive(), "the server to start")
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """Stops the server and checks that it returns without an error and leaves no thread behind."""
        self.server.should_exit = True
        self.thread.join(DEADLINE)
        if self.thread.is_alive():
            self.server.force_exit = True
            raise AssertionError(f"the server did not stop within {DEADLINE} s")
        if self.failure is not None:
            raise self.failure
        left = set(threading.enumerate()) - self.threads_before
        if left:
            raise AssertionError(f"threads are left: {sorted(thread.name for thread in left)}")

    @property
    def host(self) -> str:
        """The address that it listens on."""
        return str(self.server.addresses[0][0])

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server.addresses[0][1])

    @property
    def url(self) -> str:
        """Its URL without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def wait_for_loop_threads(count: int) -> None:
    """Waits until a server that is starting runs so many loop threads."""
    names = {f"threadserve-{number}" for number in range(1, count + 1)}
    wait_until(lambda: names <= {thread.name for thread in threading.enumerate()}, f"{count} loop threads")


Serve = Callable[..., EmbeddedServer]


@contextmanager
def servers(**defaults: Any) -> Iterator[Serve]:
    """Gives a function that starts servers, with `defaults` unless other settings are given; stops them in the end."""
    with ExitStack() as stack:

        def start(app: Any, **settings: Any) -> EmbeddedServer:
            server = EmbeddedServer(app, **{**defaults, **settings})
            server.start()
            stack.callback(server.stop)
            return server

        yield start
