"""The server's state as plain JSON, for `/status.json`, without the secrets that requests may carry.

Runs on the admin thread; keeps nothing.
"""

import platform
import time

from threadserve.admin.prometheus import read_form
from threadserve.metrics.states import LoopState, PoolState, ProcessState, RunningCall, ServerState
from threadserve.types import JSON
from threadserve.version import __version__


def state_to_json(server: ServerState) -> dict[str, JSON]:
    """Return the state of a server. Durations are in seconds, moments in seconds of the epoch, sizes in bytes."""
    return {
        "at": time.time(),
        "version": __version__,
        "python": platform.python_version(),
        "form": read_form(),
        "phase": server.phase,
        "live": server.find_liveness_problem() or True,
        "ready": server.find_readiness_problem() or True,
        "workers": server.workers,
        "workers_replaced": server.workers_replaced,
        "silent": list(server.unresponsive),
        "problems": [problem._asdict() for problem in server.problems],
        "processes": [process_to_json(process) for process in server.processes],
    }


def process_to_json(process: ProcessState) -> dict[str, JSON]:
    """Return the state of one process."""
    slow_requests = [slow for loop in process.loops for slow in loop.slow]
    return {
        "pid": process.pid,
        "phase": process.phase,
        "started_at": process.started_at,
        "gil_enabled": process.is_gil_enabled,
        "memory": process.memory_bytes,
        "cpu": process.cpu_seconds,
        "descriptors": process.descriptors,
        "idle_connections": process.idle_connections,
        "threads_replaced": process.threads_replaced,
        "loops": [loop_to_json(loop, process) for loop in process.loops],
        "wsgi": pool_to_json(process.pool) if process.pool is not None else None,
        "slow": [slow._asdict() for slow in sorted(slow_requests, key=lambda slow: -slow.ended)],
        "stalls": [stall._asdict() for stall in reversed(process.stalls)],
        "problems": [problem._asdict() for problem in reversed(process.problems)],
    }


def loop_to_json(loop: LoopState, process: ProcessState) -> dict[str, JSON]:
    """Return the state of one loop and its running calls."""
    counts = loop.counts
    return {
        "thread": loop.number,
        "started": loop.has_started,
        "stalled": loop.stalled_seconds if process.is_loop_stalled(loop) else 0,
        "place": loop.place,
        "requests": sum(counts.requests),
        "errors": counts.requests[5],
        "cpu": loop.cpu_seconds,
        "in_flight": loop.in_flight,
        "connections": loop.connections,
        "websockets": loop.websockets,
        "mean_seconds": divide_or_zero(counts.duration.total, sum(counts.duration.counts)),
        "mean_lag": divide_or_zero(loop.lag.total, sum(loop.lag.counts)),
        "stalls": loop.stalls,
        "refusals": {str(status): count for status, count in counts.refusals.items()},
        "calls": calls_to_json(loop.calls),
    }


def pool_to_json(pool: PoolState) -> dict[str, JSON]:
    """Return the state of the threads that call a WSGI application."""
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


def calls_to_json(calls: tuple[RunningCall, ...]) -> list[JSON]:
    """Return the running calls, the oldest first."""
    return [call._asdict() for call in sorted(calls, key=lambda call: -call.seconds)]


def divide_or_zero(total: float, count: int) -> float:
    """Return the mean of `count` values with this sum, or 0 without values."""
    return total / count if count else 0.0
