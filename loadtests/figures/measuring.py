"""Measures a server that answers: one function for each kind of measurement.

Each returns the details, which have the values of the figure's goals among them, and the problems.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from loadtests.clients import admin, echo, idle, kept, latency, paused, resting, spread, streaming
from loadtests.errors import LoadTestError
from loadtests.figures.figure import Figure, Measure
from loadtests.generators import h2load, wrk
from loadtests.servers import memory, usage
from loadtests.servers.commands import Server
from loadtests.servers.processes import Running

# After the load, connections are closed and freed before memory is read.
SETTLE_SECONDS = 1.0
# How often the admin address is asked: like a monitoring system, and for enough times.
SCRAPES_PER_SECOND = 1
ADMIN_REQUESTS_PER_SECOND = 50

Measured = tuple[dict[str, Any], list[str]]


@dataclass(frozen=True)
class Effort:
    """How long and how hard to measure; the same for every server."""

    rounds: int
    seconds: int
    warm_up_seconds: int
    load: wrk.Load
    idle_connections: int


@dataclass(frozen=True)
class Subject:
    """A server to measure; `folder` is for the client's files."""

    effort: Effort
    figure: Figure
    server: Server
    running: Running
    folder: Path


def measured(subject: Subject) -> Measured:
    """What the figure is about; raises LoadTestError where it cannot be measured."""
    try:
        return MEASUREMENTS[subject.figure.measure](subject)
    except psutil.Error as error:
        raise LoadTestError(f"the server's processes cannot be read: {error}") from None


def warmed_up(subject: Subject) -> Measured:
    effort = subject.effort
    result = wrk.run(effort.load, effort.warm_up_seconds, subject.figure.request, subject.running.port, subject.folder)
    return {"warm_up": asdict(result)}, [
        f"{count} {kind} errors in the warm-up" for kind, count in result.errors.items()
    ]


def rate(subject: Subject) -> Measured:
    """Requests per second, and the CPU time that all the server's processes take for one."""
    details, problems = warmed_up(subject)
    effort, figure, running = subject.effort, subject.figure, subject.running
    before = usage.cpu_seconds(running.pid)
    if figure.streams and subject.server.speaks_http2:
        load = wrk.Load(1, figure.connections)
        path, port, streams = figure.request.path, running.port, figure.streams
        result = h2load.run(load, 0, effort.seconds, path, port, subject.folder, streams=streams)
    else:
        result = wrk.run(effort.load, effort.seconds, figure.request, running.port, subject.folder)
    cpu = usage.cpu_seconds(running.pid) - before
    details |= {
        "load": asdict(result),
        "requests/s": result.requests_per_second,
        "CPU µs per request": 1_000_000 * cpu / result.requests,
    }
    return details, [*problems, *(f"{count} {kind} errors" for kind, count in result.errors.items())]


def rate_and_memory(subject: Subject) -> Measured:
    """Requests per second, and the memory of all the server's processes after them."""
    details, problems = rate(subject)
    return details | settled_memory(subject), problems


def memory_alone(subject: Subject) -> Measured:
    """The memory of all the server's processes after the warm-up."""
    details, problems = warmed_up(subject)
    return details | settled_memory(subject), problems


def settled_memory(subject: Subject) -> dict[str, float]:
    time.sleep(SETTLE_SECONDS)
    return memory.of_tree(subject.running.pid)


def quick_latency(subject: Subject) -> Measured:
    """How long quick requests take beside blocking ones."""
    details, problems = warmed_up(subject)
    times = latency.run(subject.running.port, subject.effort.seconds)
    return details | percentiles(times), [*problems, *times.failures]


def kept_latency(subject: Subject) -> Measured:
    """The same on kept connections."""
    details, problems = warmed_up(subject)
    times = kept.run(subject.running.port)
    return details | percentiles(times), [*problems, *times.failures]


def percentiles(times: latency.Times) -> dict[str, Any]:
    """All times with the percentiles of the quick ones."""
    return asdict(times) | {f"p{rank} ms": latency.percentile(times.quick, rank) for rank in (50, 99)}


def echoed(subject: Subject) -> Measured:
    """WebSocket messages per second."""
    effort = subject.effort
    result = echo.run(subject.running.port, subject.figure.message_size, effort.warm_up_seconds, effort.seconds)
    silent = result.silent_connections
    problems = [f"{silent} connections got no message back"] if silent else []
    return {"echo": asdict(result), "messages/s": result.messages_per_second}, problems


def streamed(subject: Subject) -> Measured:
    """By how much memory grows while large bodies go through."""
    result = streaming.run(subject.running.port, subject.running.pid)
    values = {"MB grown by upload": result.grown_by_upload, "MB grown by download": result.grown_by_download}
    return {"streaming": asdict(result)} | values, []


def idle_memory(subject: Subject) -> Measured:
    """What idle connections cost."""
    count = subject.effort.idle_connections
    result = idle.run(subject.running.port, subject.running.pid, count)
    return {"idle": asdict(result)} | idle.kilobytes(result, count), []


def kept_paused(subject: Subject) -> Measured:
    """Requests per second, and the CPU time for one, of many connections that pause between them."""
    details, problems = warmed_up(subject)
    result = paused.run(subject.running.port, subject.running.pid)
    details |= {
        "paused": asdict(result),
        "requests/s": result.requests / result.seconds,
        "CPU µs per request": 1_000_000 * result.cpu_seconds / result.requests,
    }
    return details, problems


def kept_idle(subject: Subject) -> Measured:
    """What kept connections cost that rest, as many as there may be open files."""
    count = idle.as_many_as_fit(resting.CONNECTIONS)
    result = resting.run(subject.running.port, subject.running.pid, count)
    details = {"resting": asdict(result), "connections_wanted": resting.CONNECTIONS}
    return details | {"kB per connection": result.kilobytes}, []


def kept_spread(subject: Subject) -> Measured:
    """How evenly the server's threads share the requests."""
    details, problems = warmed_up(subject)
    named = spread.run(subject.running.port)
    return details | {"requests_of_threads": named, "busiest over mean": spread.busiest_over_mean(named)}, problems


def scraped_rate(subject: Subject) -> Measured:
    """The rate while the metrics are asked for, where there is an admin address."""
    if "--admin-bind" not in subject.running.command:
        return rate(subject)
    seconds = subject.effort.warm_up_seconds + subject.effort.seconds
    with ThreadPoolExecutor(1) as beside:
        scraping = beside.submit(admin.run, subject.running.port, seconds, SCRAPES_PER_SECOND)
        details, problems = rate(subject)
        times = scraping.result()
    return details | percentiles(times), [*problems, *times.failures]


def scrape_time(subject: Subject) -> Measured:
    """How long the metrics take while many connections ask, and pause."""
    port, seconds = subject.running.port, subject.effort.seconds
    with ThreadPoolExecutor(1) as beside:
        asking = beside.submit(paused.run, port, subject.running.pid, paused.CONNECTIONS, seconds)
        times = admin.run(port, 2 * paused.PAUSE_SECONDS + seconds, ADMIN_REQUESTS_PER_SECOND)
        details = {"paused": asdict(asking.result())}
    return details | percentiles(times), times.failures


def health_while_blocked(subject: Subject) -> Measured:
    """How long health takes to be told while requests that wait block every loop."""
    effort = subject.effort
    times = admin.run(subject.running.port, effort.seconds, ADMIN_REQUESTS_PER_SECOND, effort.load.connections)
    return percentiles(times), times.failures


def open_at_once(figure: Figure, effort: Effort) -> int:
    """How many connections the figure has open at once; 0 where they are no more than any process may open."""
    many = {
        "idle": 2 * effort.idle_connections,
        "kept-paused": paused.CONNECTIONS,
        "admin-scrape": paused.CONNECTIONS,
        "kept-idle": idle.as_many_as_fit(resting.CONNECTIONS),
    }
    return many.get(figure.measure, 0)


MEASUREMENTS: dict[Measure, Callable[[Subject], Measured]] = {
    "rate": rate,
    "rate-and-memory": rate_and_memory,
    "latency": quick_latency,
    "memory": memory_alone,
    "echo": echoed,
    "streaming": streamed,
    "idle": idle_memory,
    "kept-latency": kept_latency,
    "kept-paused": kept_paused,
    "kept-idle": kept_idle,
    "kept-spread": kept_spread,
    "admin-busy": scraped_rate,
    "admin-blocked": health_while_blocked,
    "admin-scrape": scrape_time,
}
