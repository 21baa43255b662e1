"""The command lines of the servers that are compared.

Every server gets the same event loop and parser where it has the choice, and serves no WebSockets: threadserve does not
yet, so its peers need not load what it takes.
"""

from dataclasses import dataclass
from typing import Literal

Build = Literal["ordinary", "free-threaded"]
Distribution = Literal["least-busy", "kernel"]


@dataclass(frozen=True)
class Server:
    """How one server is started; the application, host and port are added then.

    `ready_line` is in its log once for each of its `workers` that has started; "" where the first answer says it.
    """

    label: str
    build: Build
    module: str
    options: tuple[str, ...]
    requires: tuple[str, ...]
    ready_line: str = ""
    workers: int = 1

    def command(self, python: str, app: str, port: int) -> list[str]:
        """The whole command line, for an application as module:attribute."""
        return [python, "-m", self.module, app, "--host", "127.0.0.1", "--port", str(port), *self.options]


def threadserve(
    build: Build, threads: int, *, distribute: Distribution = "least-busy", access_log: bool = False
) -> Server:
    """threadserve, one process."""
    counted = f"{threads} thread" + ("s" if threads > 1 else "")
    return Server(
        label=f"threadserve, {counted}" + ("" if distribute == "least-busy" else f", {distribute}"),
        build=build,
        module="threadserve",
        options=(
            *("--threads", str(threads), "--distribute", distribute, "--loop", "uvloop", "--http", "httptools"),
            access_log_option(access_log),
        ),
        requires=("click", "h11", "httptools", "uvloop"),
    )


def uvicorn(workers: int = 1, *, access_log: bool = False) -> Server:
    """Uvicorn with its fast event loop and parser, on an ordinary interpreter."""
    return Server(
        label=f"Uvicorn, {workers} worker" + ("s" if workers > 1 else ""),
        build="ordinary",
        module="uvicorn",
        options=(
            *("--workers", str(workers), "--loop", "uvloop", "--http", "httptools", "--ws", "none"),
            access_log_option(access_log),
        ),
        requires=("uvicorn", "httptools", "uvloop"),
        ready_line="Application startup complete",
        workers=workers,
    )


def granian(workers: int, *options: str) -> Server:
    """Granian on a free-threaded interpreter, where its workers are threads. It picks uvloop by itself."""
    counted = f"{workers} worker" + ("s" if workers > 1 else "")
    return Server(
        label=" ".join((f"Granian, {counted}", *options)),
        build="free-threaded",
        module="granian",
        options=("--interface", "asgi", "--workers", str(workers), "--no-ws", *options, "--no-access-log"),
        requires=("granian", "uvloop"),
        ready_line="Started worker-",
        workers=workers,
    )


def access_log_option(wanted: bool) -> str:
    """The option by which every one of the servers switches its access log on or off."""
    return "--access-log" if wanted else "--no-access-log"
