"""Runs h2load over HTTP/1.1 or HTTP/2 and reads its log, which has a line for each request."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from loadtests.errors import LoadTestError
from loadtests.generators import process
from loadtests.generators.result import LoadResult, percentiles_of
from loadtests.generators.wrk import Load

FAILED = "-1"


def parse(log: Iterable[str], command: list[str], seconds: float) -> LoadResult:
    """Read the log of a run that measured for that long; raises LoadTestError where it has no good answer.

    Each line has microseconds since the epoch, the status (-1 where there was no answer) and microseconds.
    """
    rows = [fields(line) for line in log]
    times = [int(taken) / 1000 for _, status, taken in rows if status.startswith(("2", "3"))]
    bad = [status for _, status, _ in rows if not status.startswith(("2", "3"))]
    if not times:
        raise LoadTestError(f"h2load got no good answer: {len(bad)} errors")
    return LoadResult(
        command=command,
        requests=len(times),
        seconds=seconds,
        percentiles=percentiles_of(times),
        errors=dict(Counter("failed" if status == FAILED else "status" for status in bad)),
        began=min(int(start) for start, _, _ in rows) / 1_000_000,
    )


def fields(line: str) -> tuple[str, str, str]:
    """Return what `parse` needs of one line; raises LoadTestError where it is no request."""
    parts = line.split()
    if len(parts) < 3 or not (parts[0].isdigit() and parts[2].isdigit()):
        raise LoadTestError(f"h2load logged {line.strip()!r}, which is no request")
    return parts[0], parts[1], parts[2]


def run(load: Load, path: str, port: int, folder: Path, *, streams: int = 0) -> LoadResult:
    """Warm the server on `port` up, then measure; `folder` is for the log.

    With `streams` over HTTP/2 with so many on each connection. Raises LoadTestError where h2load fails.
    """
    log = folder / "h2load.log"
    version = ["--max-concurrent-streams", str(streams)] if streams else ["--h1"]
    numbers = ["--threads", str(load.threads), "--clients", str(load.connections)]
    target = ["--log-file", str(log), f"http://127.0.0.1:{port}{path}"]
    # With a warm-up of its own it logs requests that are under way at its end without their status.
    for seconds in (load.warm_up_seconds, load.seconds):
        log.unlink(missing_ok=True)
        line = ["h2load", *version, *numbers, "--duration", f"{seconds}s", *target]
        process.run(line, seconds)
    with log.open() as lines:
        return parse(lines, line, load.seconds)


def version() -> str:
    """Return what h2load says of itself; raises LoadTestError where there is no h2load."""
    return process.version(["h2load", "--version"], "nghttp2-client")
