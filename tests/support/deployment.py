"""The files of `examples/deployment`, and the command lines that are in them."""

from collections.abc import Iterator, Mapping, Sequence

import httpx
from support.server_process import PACKAGE_ROOT, ServerProcess
from support.waiting import DEADLINE, wait_until

from threadserve import Config

DEPLOYMENT = PACKAGE_ROOT / "examples" / "deployment"
# What lifespan shutdown, and threads and processes that the app has left, may take beyond the limits that are set.
REST = 10.0


class CommandLine:
    """The server's command line out of a file: program, app, and options that all have a value."""

    def __init__(self, words: Sequence[str]) -> None:
        self.program, self.app, *rest = words
        self.options = dict(_pairs(iter(rest)))

    def seconds_to_stop(self) -> float:
        """The longest time from the signal to stop until the process has ended."""
        graceful = Config(self.app).timeout_graceful_shutdown
        assert graceful is not None
        return (
            float(self.options.get("--shutdown-delay", 0))
            + float(self.options.get("--timeout-graceful-shutdown", graceful))
            + REST
        )

    def words(self, changes: Mapping[str, str]) -> list[str]:
        """The options, some of them with other values; there must be those that are changed."""
        assert changes.keys() <= self.options.keys(), self.options
        return [word for pair in {**self.options, **changes}.items() for word in pair]


def _pairs(words: Iterator[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        assert word.startswith("--"), word
        name, is_joined, value = word.partition("=")
        yield name, value if is_joined else next(words)


def port_of(address: str) -> int:
    """The port in HOST:PORT."""
    return int(address.rpartition(":")[2])


def wait_for_status(url: str, status: int, server: ServerProcess) -> None:
    """Waits until the server answers with this status, as a probe does."""

    def has_answered() -> bool:
        assert server.process.poll() is None, server.stderr
        try:
            return httpx.get(url, timeout=DEADLINE, verify=False).status_code == status
        except httpx.ConnectError:
            return False

    wait_until(has_answered, f"{url} to answer {status}")
