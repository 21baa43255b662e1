"""What `/status.json` tells: the server's state as plain JSON, without the secrets that requests may carry.

Runs on the admin thread; keeps nothing.
"""

import platform
import time
from typing import Any

from threadserve.admin.prometheus import read_form
from threadserve.metrics.states import LoopState, PoolState, ProcessState, RunningCall, ServerState
from threadserve.version import __version__


def state_to_json(overview: ServerState) -> dict[str, Any]:
    """The state of a server. Times are in seconds, moments in seconds of the epoch, sizes in bytes."""
    return {
        "at": time.time(),
        "version": __version__,
        "python": platform.python_version(),
        "form": read_form(),
        "phase": overview.phase,
        "live": overview.why_not_alive() or True,
        "ready": overview.why_not_ready() or True,
        "workers": overview.workers,
        "workers_replaced": overview.workers_replaced,
        "silent": list(overview.silent),
        "problems": [problem._asdict() for problem in overview.problems],
        "processes": [process_to_json(process) for process in overview.processes],
    }


def process_to_json(process: ProcessState) -> dict[str, Any]:
    """One process."""
    return {
        "pid": process.pid,
        "phase": process.phase,
        "started_at": process.started_at,
        "gil_enabled": process.is_gil_enabled,
        "memory": process.memory,
        "cpu": process.cpu,
        "descriptors": process.descriptors,
        "idle_connections": process.idle,
        "threads_replaced": process.threads_replaced,
        "loops": [loop_to_json(loop, process) for loop in process.loops],
        "wsgi": pool_to_json(process.pool) if process.pool is not None else None,
        "slow": sorted(
            (slow._asdict() for loop in process.loops for slow in loop.slow), key=lambda slow: -slow["ended"]
        ),
        "stalls": [stall._asdict() for stall in reversed(process.stalls)],
        "problems": [problem._asdict() for problem in reversed(process.problems)],
    }


def loop_to_json(loop: LoopState, process: ProcessState) -> dict[str, Any]:
    """One loop, and what it does now."""
    counts = loop.counts
    return {
        "thread": loop.number,
        "started": loop.has_started,
        "stalled": loop.stalled_for if loop.stalled_for > process.stall_limit > 0 else 0,
        "place": loop.place,
        "requests": sum(counts.requests),
        "errors": counts.requests[5],
        "cpu": loop.cpu,
        "in_flight": loop.in_flight,
        "connections": loop.connections,
        "websockets": loop.websockets,
        "mean_seconds": divide_or_zero(counts.duration.total, sum(counts.duration.counts)),
        "mean_lag": divide_or_zero(loop.lag.total, sum(loop.lag.counts)),
        "stalls": loop.stalls,
        "refusals": {str(status): count for status, count in counts.refusals.items()},
        "calls": calls_to_json(loop.calls),
    }


def pool_to_json(pool: PoolState) -> dict[str, Any]:
    """The threads that call a WSGI application."""
    return {
        "threads": pool.threads,
        "busy": pool.busy,
        "stuck": pool.stuck,
        "queue": pool.queue,
        "queue_limit": pool.queue_limit,
        "timeouts": pool.timeouts,
        "refused": pool.refused,
        "calls": calls_to_json(pool.calls),
    }


def calls_to_json(calls: tuple[RunningCall, ...]) -> list[dict[str, Any]]:
    """What is in flight, the oldest first."""
    return [call._asdict() for call in sorted(calls, key=lambda call: -call.seconds)]


def divide_or_zero(total: float, count: int) -> float:
    """The mean of so many values with this sum, or 0."""
    return total / count if count else 0.0
