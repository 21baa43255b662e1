"""The loads: each puts a server that answers under one kind of load, and returns the values that come of it."""

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Concatenate, ParamSpec

from loadtests.clients import process, resting
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
P = ParamSpec("P")


def load_of(measure: Callable[Concatenate[Subject, P], Measured]) -> Callable[P, Load]:
    """Return the function that makes a load of what the decorated one takes beside the subject."""
    return lambda *args, **kwargs: lambda subject: measure(subject, *args, **kwargs)


def watched(drive: Callable[Concatenate[Subject, P], LoadResult]) -> Callable[Concatenate[Subject, P], Measured]:
    """Return the load that a generator drives, with what the server's processes use meanwhile."""

    def measure(subject: Subject, /, *args: P.args, **kwargs: P.kwargs) -> Measured:
        with Monitor(subject.running.pid) as monitor:
            load = drive(subject, *args, **kwargs)
        values = load.values | monitor.usage(load.began, load.began + load.seconds)
        values[CPU] = 1_000_000 * values.pop("CPU seconds") / max(1, load.requests)
        requests = load.requests + load.warm_up_requests
        details = {"requests": requests, "client_cpu_share": load.cpu_share, "answers": load.answers}
        return Measured(values, load.command, load.errors, details)

    return measure


rate = watched(wrk.run)
by_locust, by_h2load = watched(locust.run), watched(wrk.run_http2)


@load_of
def users(subject: Subject, kind: str, aside: str = "") -> Measured:
    """Have users of a class visit the server, `aside` is a path whose latency is no matter; doubt a busy Locust."""
    measured = by_locust(subject, kind, aside)
    if (share := measured.details["client_cpu_share"]) > GENERATOR_LIMIT:
        measured.problems.append(f"Locust used {share:.0%} of a CPU: with fewer --users it would be no bottleneck")
    return measured


def one_path(subject: Subject) -> Measured:
    """Put the server under requests for one path without pauses, by wrk or, where that is not installed, by Locust."""
    return rate(subject) if shutil.which("wrk") else users("PathUser")(subject)


@load_of
def over_http2(subject: Subject, streams: int, connections: int) -> Measured:
    """Send the request over HTTP/2, or over HTTP/1.1 by wrk where the server does not speak it."""
    return by_h2load(subject, streams, connections) if subject.server.speaks_http2 else rate(subject)


def rate_and_memory(subject: Subject) -> Measured:
    """Measure the rate, and the memory of all the server's processes when they have settled."""
    measured = rate(subject)
    time.sleep(SETTLE_SECONDS)
    measured.values |= memory_of_tree(subject.running.pid)
    return measured


@load_of
@watched
def groups(
    subject: Subject, *asked: Group, seconds: float = 0.0, warm_up: float = 0.0, until: Group | None = None
) -> LoadResult:
    """Have clients ask at their pace, for so many seconds after the warm-up, or the effort's.

    They begin when the request `until` is answered as it wants.
    """
    times = {"seconds": seconds or subject.effort.duration, "warm_up": warm_up or subject.effort.warm_up}
    return process.load("asking", port=subject.running.port, groups=asked, until=until, **times)


@load_of
def shared(subject: Subject, threads: int, load: Load) -> Measured:
    """Put on a load whose answers say which of the server's threads gave them, and tell how even that is."""
    measured = load(subject)
    measured.values[SHARE] = busiest_over_mean(measured.details["answers"], threads)
    return measured


def busiest_over_mean(answers: dict[str, int], threads: int) -> float:
    """Return the answers of the busiest thread over those of one in the mean; a thread may have had none.

    Raises LoadTestError where there are more than the server was to have.
    """
    require(0 < len(answers) <= threads, f"{len(answers)} threads have answered, not {threads}")
    return max(answers.values()) * threads / sum(answers.values())


@load_of
def beside(subject: Subject, first: Load, second: Load) -> Measured:
    """Put on a load while another is on the same server, where that has an admin address; return the first's values."""
    if "--admin-bind" not in subject.running.command:
        return first(subject)
    with ThreadPoolExecutor(1) as executor:
        other = executor.submit(second, subject)
        measured = first(subject)
    measured.details["beside"] = asdict(other.result())
    measured.errors = measured.errors | other.result().errors
    return measured


@load_of
@watched
def echoes(subject: Subject, size: int) -> LoadResult:
    """Send WebSocket messages of so many bytes there and back."""
    times = {"warm_up": subject.effort.warm_up, "seconds": subject.effort.duration}
    return process.load("echo", port=subject.running.port, size=size, **times)


@load_of
def streams(subject: Subject, size: int) -> Measured:
    """Stream a body of so many bytes each way, and tell by how many MB the server's memory grows."""
    with Monitor(subject.running.pid, OFTEN_SECONDS) as monitor:
        told = process.run("streaming", port=subject.running.port, size=size)
    growths = {f"MB grown by {way}": monitor.growth(began, ended) for way, (began, ended) in told.items()}
    return Measured(growths, details={"streaming": told})


@load_of
def idle(subject: Subject, connections: int, *, websockets: bool = False) -> Measured:
    """Have so many kept connections rest, or as many as there may be open files, and weigh them.

    Where wanted, as many WebSockets come beside them, and the memory of one is told beyond that of a connection.
    """
    kinds = 2 if websockets else 1
    count = min(connections, (resting.allow_many_files() - resting.OTHER_FILES) // kinds)
    running, options = subject.running, {"count": count, "rest": REST_SECONDS, "websockets": websockets}
    told = process.run("resting", port=running.port, pid=running.pid, **options)
    values = {KEPT: told["kept"]}
    if websockets:
        values |= {WEBSOCKET: told["websocket"], BEYOND: told["websocket"] - told["kept"]}
    return Measured(values, details=told | {"connections_wanted": connections})
