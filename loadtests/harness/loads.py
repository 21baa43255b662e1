"""The loads: each puts a server that answers under one kind of load, and returns the values that come of it."""

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from loadtests.clients import asking, echo, resting, streaming
from loadtests.clients.asking import Group
from loadtests.errors import require
from loadtests.generators import locust, wrk
from loadtests.generators.result import LoadResult
from loadtests.harness.measurement import Load, Measured, Subject
from loadtests.results import CPU
from loadtests.servers.usage import Monitor, memory_of_tree

# After the load, connections are closed and freed before memory is read.
SETTLE_SECONDS = 1.0
# WebSockets are pinged meanwhile.
REST_SECONDS = 5.0
# The share of a CPU beyond which Locust, which uses one, is what has been measured.
GENERATOR_LIMIT = 0.9
# How often memory is read while a body streams.
OFTEN_SECONDS = 0.02
SHARE = "busiest over mean"
KEPT, WEBSOCKET, BEYOND = "kB per connection", "kB per WebSocket", "kB beyond"


def watched(drive: Callable[[Subject], LoadResult]) -> Load:
    """Return the load that a generator drives, with what the server's processes use meanwhile."""

    def measure(subject: Subject) -> Measured:
        with Monitor(subject.running.pid) as monitor:
            load = drive(subject)
        values = load.values | monitor.usage(load.began, load.began + load.seconds)
        values[CPU] = 1_000_000 * values.pop("CPU seconds") / max(1, load.requests)
        requests = load.requests + load.warm_up_requests
        details = {"requests": requests, "client_cpu_share": load.cpu_share, "answers": load.answers}
        return Measured(values, load.command, load.errors, details)

    return measure


@watched
def rate(subject: Subject) -> LoadResult:
    """Send the request again and again, by wrk."""
    effort, port = subject.effort, subject.running.port
    return wrk.run(subject.request, port, subject.folder, effort.connections, effort.warm_up, effort.duration)


def users(kind: str, aside: str = "") -> Load:
    """Return the load of Locust's users; `aside` is a path whose latency is no matter."""

    @watched
    def drive(subject: Subject) -> LoadResult:
        effort = subject.effort
        numbers = effort.users, effort.think_time, effort.warm_up, effort.duration
        return locust.run(kind, *numbers, subject.running.port, subject.request.path, aside, subject.folder)

    def measure(subject: Subject) -> Measured:
        measured = drive(subject)
        if (share := measured.details["client_cpu_share"]) > GENERATOR_LIMIT:
            measured.problems.append(f"Locust used {share:.0%} of a CPU: with fewer --users it would be no bottleneck")
        return measured

    return measure


def one_path(subject: Subject) -> Measured:
    """Put the server under requests for one path without pauses, by wrk or, where that is not installed, by Locust."""
    return rate(subject) if shutil.which("wrk") else users("PathUser")(subject)


def over_http2(streams: int, connections: int) -> Load:
    """Return the request over HTTP/2, with so many streams on each connection; over HTTP/1.1 by servers without it."""

    @watched
    def over_streams(subject: Subject) -> LoadResult:
        numbers = connections, streams, subject.effort.warm_up, subject.effort.duration
        return wrk.run_http2(subject.request.path, subject.running.port, subject.folder, *numbers)

    return lambda subject: over_streams(subject) if subject.server.speaks_http2 else rate(subject)


def rate_and_memory(subject: Subject) -> Measured:
    """Measure the rate, and the memory of all the server's processes when they have settled."""
    measured = rate(subject)
    time.sleep(SETTLE_SECONDS)
    measured.values |= memory_of_tree(subject.running.pid)
    return measured


def groups(*asked: Group, seconds: float = 0.0, warm_up: float = 0.0, until: Group | None = None) -> Load:
    """Return the load of clients that ask at their pace, for so many seconds after the warm-up, or the effort's.

    They begin when the request `until` is answered as it wants.
    """

    @watched
    def drive(subject: Subject) -> LoadResult:
        times = seconds or subject.effort.duration, warm_up or subject.effort.warm_up
        return asking.run(subject.running.port, asked, *times, until)

    return drive


def shared(threads: int, load: Load) -> Load:
    """Return a load whose answers say which of the server's threads gave them, with how even that is."""

    def measure(subject: Subject) -> Measured:
        measured = load(subject)
        measured.values[SHARE] = busiest_over_mean(measured.details["answers"], threads)
        return measured

    return measure


def busiest_over_mean(answers: dict[str, int], threads: int) -> float:
    """Return the answers of the busiest thread over those of one in the mean; a thread may have had none.

    Raises LoadTestError where there are more than the server was to have.
    """
    require(0 < len(answers) <= threads, f"{len(answers)} threads have answered, not {threads}")
    return max(answers.values()) * threads / sum(answers.values())


def beside(first: Load, second: Load) -> Load:
    """Return a load while another is put on the same server, where that has an admin address; of the first's values."""

    def measure(subject: Subject) -> Measured:
        if "--admin-bind" not in subject.running.command:
            return first(subject)
        with ThreadPoolExecutor(1) as executor:
            other = executor.submit(second, subject)
            measured = first(subject)
        measured.details["beside"] = asdict(other.result())
        measured.errors = measured.errors | other.result().errors
        return measured

    return measure


def echoes(size: int) -> Load:
    """Return the load of WebSocket messages of so many bytes, and their way back."""

    @watched
    def drive(subject: Subject) -> LoadResult:
        return echo.run(subject.running.port, size, subject.effort.warm_up, subject.effort.duration)

    return drive


def streams(size: int) -> Load:
    """Return the load of a body of so many bytes each way: by how many MB the server's memory grows."""

    def measure(subject: Subject) -> Measured:
        with Monitor(subject.running.pid, OFTEN_SECONDS) as monitor:
            told = streaming.run(subject.running.port, size)
        growths = {f"MB grown by {way}": monitor.growth(began, ended) for way, (began, ended) in told.items()}
        return Measured(growths, details={"streaming": told})

    return measure


def idle(connections: int, *, websockets: bool = False) -> Load:
    """Return the load of so many kept connections that rest, or as many as there may be open files.

    Where wanted, as many WebSockets come beside them, and the memory of one is told beyond that of a connection.
    """

    def measure(subject: Subject) -> Measured:
        count = min(connections, resting.allow_many_files() - resting.OTHER_FILES)
        told = resting.run(subject.running.port, subject.running.pid, count, REST_SECONDS, websockets=websockets)
        values = {KEPT: told["kept"]}
        if websockets:
            values |= {WEBSOCKET: told["websocket"], BEYOND: told["websocket"] - told["kept"]}
        return Measured(values, details=told | {"connections_wanted": connections})

    return measure
