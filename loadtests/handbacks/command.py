"""`python -m loadtests handbacks`: whether an idle connection loses anything on its way from one thread to another.

Runs on the main thread, the clients included. The server is a process that does not outlive the command.
"""

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import click

from loadtests.clients.handbacks import Clients, Result
from loadtests.errors import LoadTestError
from loadtests.request import Request
from loadtests.servers import interpreters
from loadtests.servers.commands import Build, Server, threadserve
from loadtests.servers.interpreters import INTERPRETER
from loadtests.servers.processes import serving
from loadtests.soak import sampling
from loadtests.soak.sampling import Usage

APP = "loadtests.apps.handbacks:app"
# So many hand-backs, or as many as are asked for, bring the server to the size that it keeps.
WARM_UP = 100_000
# How much more memory there may be: asyncio's transports are cycles, of which free-threaded Python lets many lie.
MOST_GROWN_MB = 40.0
# glibc is to give large blocks back: what it keeps of those that asyncio reads into would hide what the server keeps.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536"}
# In seconds: how often it is told how far the clients are, and how long the server may take to let go of them.
TELL_SECONDS, SETTLE_SECONDS = 10.0, 30.0


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def progress(result: Result) -> str:
    """How far the clients are."""
    return f"{result.hand_backs:,} hand-backs at least, {result.hand_backs / (result.seconds or 1):,.0f}/s"


@click.command(name="handbacks")
@click.option("--count", type=click.IntRange(1), default=1_000_000, show_default=True, help="Hand-backs to be seen.")
@click.option("--seconds", type=click.FloatRange(1), default=3600, show_default=True, help="For so long at most.")
@click.option("--connections", type=click.IntRange(1, 10_000), default=300, show_default=True, help="At a time.")
@click.option("--threads", type=click.IntRange(2, 64), default=4, show_default=True, help="Event loops of the server.")
@click.option("--loop", type=click.Choice(["uvloop", "asyncio"]), default="uvloop", show_default=True)
@click.option("--uds", is_flag=True, help="Over a Unix socket.")
@click.option("--server-python", type=INTERPRETER, default=Path(sys.executable), help="Interpreter of the server.")
def handbacks(
    count: int, seconds: float, connections: int, threads: int, loop: str, uds: bool, server_python: Path
) -> int:
    """Has idle connections given back and handed on at a high rate, while requests come at every moment of that.

    The exit code is 0 if every request has its own answer once and in order, and nothing is left over, 1 if not, 2 if
    nothing can be measured, 130 after SIGINT or SIGTERM.
    """
    interpreter = interpreters.usable(server_python.absolute())
    if missing := interpreter.missing(("threadserve", "click", "h11", *({loop} - {"asyncio"}))):
        raise LoadTestError(missing)
    say(f"threadserve, {interpreter.form}, on {interpreter.short_version} with {loop}")
    build: Build = "free-threaded" if interpreter.free_threaded else "ordinary"
    with tempfile.TemporaryDirectory(prefix="handbacks-") as name:
        folder = Path(name)
        server = server_of(build, threads, loop, folder / "socket")
        environment = interpreters.environment() | ENVIRONMENT
        with serving(server, interpreter.path, APP, Request(), environment, folder) as running:
            address = str(folder / "socket") if uds else ("127.0.0.1", running.port)
            said = len(running.log.read_bytes())
            warm_up = Clients(address, connections).run(min(WARM_UP, count), seconds)
            before = settled(running.pid, None)
            result = Clients(address, connections).run(count, seconds, tell)
            after = settled(running.pid, before)
        findings = [*warm_up.failures, *result.failures, *left_over(before, after)]
        findings += [] if running.stopped_by == "SIGTERM" else ["the server did not end in time after SIGTERM"]
        findings += [f"logged: {line!r}" for line in running.log.read_bytes()[said:].splitlines()]
    print(progress(result), f"{result.answers:,} answers on {result.connections:,} connections", sep="; ")
    print(*(f"{number:,} × {ending}" for ending, number in sorted(result.endings.items())), sep=", ")
    print(f"before: {before}\nafter: {after}")
    lines = [f"FINDING: {finding}" for finding in findings]
    print(*lines or ["clean: nothing is lost, and nothing is left over"], sep="\n")
    return 1 if findings else 0


def server_of(build: Build, threads: int, loop: str, uds: Path) -> Server:
    """The server as it is started, on TCP and on a Unix socket. It logs nothing but warnings and errors."""
    server = threadserve(build, threads, "--loop", loop, "--log-level", "warning")
    return replace(server, address=("--bind", "127.0.0.1:{port}", "--bind", f"unix:{uds}"))


def tell(result: Result) -> None:
    """Called by the clients, every second."""
    if round(result.seconds) % TELL_SECONDS == 0:
        say(f"{result.seconds:.0f} s: {progress(result)}")


def settled(pid: int, before: Usage | None) -> Usage:
    """What the server uses when it has come down to what it had before, or when it has had its time for that.

    Without a before it is waited until nothing gets less.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    usage = sampling.take(pid).processes[0]
    while time.monotonic() < deadline:
        time.sleep(1)
        last, usage = usage, sampling.take(pid).processes[0]
        least = before or last
        if usage.descriptors <= least.descriptors and usage.threads <= least.threads:
            break
    return usage


def left_over(before: Usage, after: Usage) -> list[str]:
    """What there is more of than before, a line each."""
    most = {"descriptors": before.descriptors, "threads": before.threads}
    most_mb = before.mb + MOST_GROWN_MB
    return [
        *(f"{unit} are left over" for unit, number in most.items() if getattr(after, unit) > number),
        *([] if after.mb <= most_mb else [f"the memory grows to more than {most_mb:.0f} MB"]),
    ]
