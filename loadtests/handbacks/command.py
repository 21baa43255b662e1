"""`python -m loadtests handbacks`: a test that idle connections lose nothing on their way between threads.

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

APP = "loadtests.apps.handbacks:app"
# So many hand-backs, or as many as are asked for, bring the server to the size that it keeps.
WARM_UP = 100_000
# How much more memory there may be: asyncio's transports are cycles, of which free-threaded Python lets many lie.
MOST_GROWN_MB = 40.0
# glibc is to give large blocks back: what it keeps of those that asyncio reads into would hide what the server keeps.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536"}
# Until the server has let go of the connections: after the warm-up, and at most in the end.
REST_SECONDS, SETTLE_SECONDS = 3.0, 30.0
TELL_SECONDS = 10


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
    """Gives idle connections back and hands them on at a high rate, while requests come at every moment of that.

    The exit code is 0 if every request has its own answer once and in order, and nothing is left over, 1 if not, 2 if
    nothing can be measured, 130 after SIGINT or SIGTERM.
    """
    interpreter = interpreters.usable(server_python.absolute())
    if missing := interpreter.missing(("threadserve", "click", "h11", *({loop} - {"asyncio"}))):
        raise LoadTestError(missing)
    click.echo(f"threadserve, {interpreter.form}, on {interpreter.short_version} with {loop}", err=True)
    with tempfile.TemporaryDirectory(prefix="handbacks-") as name:
        folder = Path(name)
        server = server_of(interpreter.build, threads, loop, folder / "socket")
        environment = interpreters.environment() | ENVIRONMENT
        with serving(server, interpreter.path, APP, Request(), environment, folder) as running:
            address = str(folder / "socket") if uds else ("127.0.0.1", running.port)
            said = len(running.log.read_bytes())
            warm_up = Clients(address, connections).run(min(WARM_UP, count), seconds)
            time.sleep(REST_SECONDS)
            before = sampling.take(running.pid)
            result = Clients(address, connections).run(count, seconds, tell)
            after, left_over = sampling.settled(running.pid, before, SETTLE_SECONDS)
        if after.total("MB") > before.total("MB") + MOST_GROWN_MB:
            left_over.append(f"the memory grows by more than {MOST_GROWN_MB:.0f} MB")
        findings = [*warm_up.failures, *result.failures, *left_over]
        findings += [] if running.stopped_by == "SIGTERM" else ["the server did not end in time after SIGTERM"]
        findings += [f"logged: {line!r}" for line in running.log.read_bytes()[said:].splitlines()]
    click.echo(f"{progress(result)}; {result.answers:,} answers on {result.connections:,} connections")
    click.echo(", ".join(f"{number:,} × {ending}" for ending, number in sorted(result.endings.items())))
    click.echo(f"before: {before}\nafter: {after}")
    lines = [f"FINDING: {finding}" for finding in findings]
    click.echo("\n".join(lines or ["clean: nothing is lost, and nothing is left over"]))
    return 1 if findings else 0


def server_of(build: Build, threads: int, loop: str, uds: Path) -> Server:
    """Return the server, on TCP and on a Unix socket. It logs nothing but warnings and errors."""
    server = threadserve(build, threads, "--loop", loop, "--log-level", "warning")
    return replace(server, address=("--bind", "127.0.0.1:{port}", "--bind", f"unix:{uds}"))


def progress(result: Result) -> str:
    """Return how far the clients are."""
    return f"{result.hand_backs:,} hand-backs at least, {result.hand_backs / (result.seconds or 1):,.0f}/s"


def tell(result: Result) -> None:
    """Tell now and then how far the clients are, who call this every second."""
    if round(result.seconds) % TELL_SECONDS == 0:
        click.echo(f"{result.seconds:.0f} s: {progress(result)}", err=True)
