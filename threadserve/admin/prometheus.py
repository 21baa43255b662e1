"""The server's metrics in Prometheus' text format, version 0.0.4.

The format: https://prometheus.io/docs/instrumenting/exposition_formats. Runs on the admin thread; keeps nothing.
"""

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

from threadserve.metrics.histogram import Distribution
from threadserve.metrics.states import LoopState, ProcessState, ServerState
from threadserve.runtime.forms import get_form
from threadserve.version import __version__

# Cached, because finding it out reads the names of all the package's files.
read_form = cache(get_form)

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

Labels = Sequence[tuple[str, object]]
Sample = tuple[Labels, float | Distribution]


@dataclass(frozen=True)
class MetricFamily:
    """A metric with its samples."""

    name: str
    kind: str
    help: str
    samples: Iterable[Sample]

    def format_lines(self) -> Iterator[str]:
        """Yield the lines of the format."""
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {self.kind}"
        for labels, value in self.samples:
            if isinstance(value, Distribution):
                yield from format_histogram(self.name, labels, value)
            else:
                yield f"{self.name}{format_labels(labels)} {format_number(value)}"


def format_histogram(name: str, labels: Labels, value: Distribution) -> Iterator[str]:
    """Yield the lines of one histogram, whose counts are cumulative in this format."""
    counts = list(accumulate(value.counts))
    for bound, count in zip((*value.bounds, "+Inf"), counts, strict=True):
        yield f"{name}_bucket{format_labels([*labels, ('le', bound)])} {count}"
    yield f"{name}_sum{format_labels(labels)} {format_number(value.total)}"
    yield f"{name}_count{format_labels(labels)} {counts[-1]}"


def format_labels(labels: Labels) -> str:
    """Return labels in braces. No label value here has a character that must be escaped."""
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels) + "}" if labels else ""


def format_number(value: float) -> str:
    """Return a number as text, as an integer if it is whole."""
    return str(int(value)) if value == int(value) else repr(float(value))


def format_metrics(server: ServerState) -> str:
    """Return all metrics of a server. With several processes each metric has the process id as its label `pid`."""
    return "".join(f"{line}\n" for family in collect_families(server) for line in family.format_lines())


def collect_families(server: ServerState) -> Iterator[MetricFamily]:
    """Yield the metrics in the order in which they are shown."""
    for collect in (collect_request_metrics, collect_stall_metrics, collect_process_metrics):
        yield from (MetricFamily(*fields) for fields in collect(server))


FamilyFields = tuple[str, str, str, Iterable[Sample]]


def collect_request_metrics(server: ServerState) -> Iterator[FamilyFields]:
    """Yield the metrics of requests and connections, by thread."""
    loops = [(labels, loop) for labels, loop, _ in label_loops(server)]
    yield (
        "threadserve_requests_total", "counter", "Requests that have ended, by the class of their status.",
        [
            ([*labels, ("status", f"{digit}xx")], count)
            for labels, loop in loops
            for digit, count in enumerate(loop.counts.requests)
            if 2 <= digit <= 5 or count
        ],
    )  # fmt: skip
    for name, kind, help, read in LOOP_METRICS:
        yield name, kind, help, [(labels, read(loop)) for labels, loop in loops]
    yield (
        "threadserve_refusals_total", "counter", "Requests that the server has refused itself, by status.",
        [
            ([*labels, ("status", status)], count)
            for labels, loop in loops
            for status, count in sorted(loop.counts.refusals.items())
        ],
    )  # fmt: skip


def collect_stall_metrics(server: ServerState) -> Iterator[FamilyFields]:
    """Yield the metric of loops that are stalled."""
    stalled = [(labels, float(process.is_loop_stalled(loop))) for labels, loop, process in label_loops(server)]
    yield "threadserve_loop_stalled", "gauge", "Whether the loop is blocked.", stalled


def collect_process_metrics(server: ServerState) -> Iterator[FamilyFields]:
    """Yield the metrics of processes and of the whole server."""
    processes = [(label_process(process, server), process) for process in server.processes]
    for name, kind, help, read in PROCESS_METRICS:
        yield name, kind, help, [(labels, read(process)) for labels, process in processes]
    pools = [(labels, process.pool) for labels, process in processes if process.pool is not None]
    if pools:
        for name, kind, help, attribute in POOL_METRICS:
            yield name, kind, help, [(labels, getattr(pool, attribute)) for labels, pool in pools]
    yield (
        "threadserve_ready",
        "gauge",
        "Whether the server is ready.",
        [((), float(not server.find_readiness_problem()))],
    )
    if server.workers:
        yield "threadserve_workers", "gauge", "Worker processes that there are to be.", [((), server.workers)]
        yield (
            "threadserve_workers_replaced_total", "counter", "Worker processes that others have replaced.",
            [((), server.workers_replaced)],
        )  # fmt: skip
    build = [("version", __version__), ("python", platform.python_version()), ("form", read_form())]
    yield "threadserve_build_info", "gauge", "What is running.", [(build, 1)]


def label_loops(server: ServerState) -> Iterator[tuple[Labels, LoopState, ProcessState]]:
    """Yield every loop with its labels and its process."""
    for process in server.processes:
        for loop in process.loops:
            yield [*label_process(process, server), ("thread", loop.number)], loop, process


def label_process(process: ProcessState, server: ServerState) -> Labels:
    """Return the labels of one process: none if it is the only one."""
    return [("pid", process.pid)] if server.workers else []


LOOP_METRICS: tuple[tuple[str, str, str, Callable[[LoopState], float | Distribution]], ...] = (
    (
        "threadserve_request_duration_seconds", "histogram", "From a request's head to the end of its response.",
        lambda loop: loop.counts.duration,
    ),
    (
        "threadserve_time_to_first_byte_seconds", "histogram", "From a request's head to its response's first byte.",
        lambda loop: loop.counts.first_byte,
    ),
    (
        "threadserve_queue_time_seconds", "histogram", "Waited in proxies, by X-Request-Start.",
        lambda loop: loop.counts.queue_time,
    ),
    (
        "threadserve_accept_to_app_seconds", "histogram", "From accepting a connection to the loop that serves it.",
        lambda loop: loop.counts.accept_to_app,
    ),
    ("threadserve_requests_in_flight", "gauge", "Requests that are served now.", lambda loop: loop.in_flight),
    ("threadserve_received_bytes_total", "counter", "Bytes from clients.", lambda loop: loop.counts.received),
    ("threadserve_sent_bytes_total", "counter", "Bytes to clients.", lambda loop: loop.counts.sent),
    ("threadserve_connections", "gauge", "Connections that are open on a loop.", lambda loop: loop.connections),
    (
        "threadserve_connections_accepted_total", "counter", "Connections that were accepted.",
        lambda loop: loop.counts.accepted,
    ),
    # With the ending "_open", because OpenMetrics strips "_total" from the counter below and names must differ.
    ("threadserve_websockets_open", "gauge", "WebSockets that are open.", lambda loop: loop.websockets),
    ("threadserve_websockets_total", "counter", "WebSockets that were opened.", lambda loop: loop.counts.websockets),
    (
        "threadserve_tls_handshakes_total", "counter", "TLS handshakes that were completed.",
        lambda loop: loop.counts.tls_handshakes,
    ),
    (
        "threadserve_tls_failures_total", "counter", "TLS handshakes that came to nothing.",
        lambda loop: loop.counts.tls_failures,
    ),
    ("threadserve_loop_cpu_seconds_total", "counter", "CPU time of the loop's thread.", lambda loop: loop.cpu_seconds),
    ("threadserve_loop_lag_seconds", "histogram", "How late the loop is with what is due.", lambda loop: loop.lag),
    ("threadserve_loop_stalls_total", "counter", "How often something has blocked the loop.", lambda loop: loop.stalls),
)  # fmt: skip

PROCESS_METRICS: tuple[tuple[str, str, str, Callable[[ProcessState], float]], ...] = (
    (
        "threadserve_connections_idle", "gauge", "Idle connections that belong to no loop.",
        lambda process: process.idle_connections,
    ),
    (
        "threadserve_exhaustions_total", "counter", "How often descriptors were missing to accept with.",
        lambda process: process.exhaustions + sum(loop.counts.exhaustions for loop in process.loops),
    ),
    (
        "threadserve_threads_replaced_total", "counter", "Loop threads that have died and were replaced.",
        lambda process: process.threads_replaced,
    ),
    ("threadserve_gil_enabled", "gauge", "Whether the GIL is on.", lambda process: float(process.is_gil_enabled)),
    ("process_resident_memory_bytes", "gauge", "Resident memory.", lambda process: process.memory_bytes),
    ("process_cpu_seconds_total", "counter", "CPU time, user and system.", lambda process: process.cpu_seconds),
    ("process_open_fds", "gauge", "Open file descriptors.", lambda process: process.descriptors),
    ("process_threads", "gauge", "Threads.", lambda process: process.threads),
    ("process_start_time_seconds", "gauge", "Start, in seconds of the epoch.", lambda process: process.started_at),
)  # fmt: skip

POOL_METRICS = (
    ("threadserve_wsgi_threads", "gauge", "Threads that call the WSGI application.", "threads"),
    ("threadserve_wsgi_threads_busy", "gauge", "Those of them that are at a call.", "busy"),
    ("threadserve_wsgi_threads_stuck", "gauge", "Threads that were set aside, at calls that do not end.", "stuck"),
    ("threadserve_wsgi_queue", "gauge", "Calls that wait for a thread.", "queue"),
    ("threadserve_wsgi_queue_limit", "gauge", "How many may wait.", "queue_limit"),
    ("threadserve_wsgi_timeouts_total", "counter", "Calls that took too long.", "timeouts"),
    ("threadserve_wsgi_refused_total", "counter", "Calls that found too many waiting.", "refused"),
)
