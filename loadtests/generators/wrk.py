"""Runs wrk, and h2load for HTTP/2, and reads what they tell.

wrk prints what a script of ours makes it print, as it tells no percentile beyond the 99th. h2load logs each request.
"""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from loadtests.errors import LoadTestError, require
from loadtests.generators import process
from loadtests.generators.result import RANKS, LoadResult, percentiles_of
from loadtests.harness.measurement import Subject
from loadtests.request import Request

REPORT = Path(__file__).with_name("wrk_report.lua")
# Of wrk; one of them is enough for several servers in Python.
THREADS = 2


def run(subject: Subject) -> LoadResult:
    """Warm the server up by wrk, then measure; errors of both count. Raises LoadTestError where wrk fails."""
    effort, request, script = subject.effort, subject.request, subject.folder / "request.lua"
    script.write_text(script_for(request))
    headers = [part for name, value in request.headers.items() for part in ("--header", f"{name}: {value}")]
    options = [f"--connections={effort.connections}", f"--threads={THREADS}", *headers, f"--script={script}"]

    def once(seconds: int) -> LoadResult:
        line = ["wrk", *options, f"--duration={seconds}s", request.url(subject.running.port)]
        began = time.time()
        return parse(process.run(line, seconds), line, began)

    before, result = once(effort.warm_up), once(effort.duration)
    errors = {f"{kind} in the warm-up": count for kind, count in before.errors.items()} | result.errors
    return replace(result, errors=errors, warm_up_requests=before.requests)


def script_for(request: Request) -> str:
    """Return the Lua that wrk needs for a method and a body; JSON's string literals are Lua's for printable ASCII."""
    posted = f'wrk.method = "POST"\nwrk.body = {json.dumps(request.body)}\n' if request.body else ""
    return f"ranks = {{{', '.join(map(json.dumps, RANKS))}}}\n{posted}{REPORT.read_text()}"


def parse(output: str, command: list[str], began: float) -> LoadResult:
    """Read the output of wrk with our script; raises LoadTestError where there are no answers."""
    told: dict[str, Any] = json.loads(output.splitlines()[-1])
    errors = {kind: count for kind, count in sorted(told["errors"].items()) if count}
    answered = told["requests"] - errors.get("status", 0)
    require(answered > 0, f"wrk got no good answer: {errors or 'and no error either'}")
    percentiles = {rank: microseconds / 1000 for rank, microseconds in told["percentiles"].items()}
    return LoadResult(command, answered, told["time"] / 1_000_000, percentiles, errors, began=began)


def run_http2(subject: Subject, streams: int, connections: int) -> LoadResult:
    """Do the same over HTTP/2 by h2load, with so many streams on each connection."""
    log = subject.folder / "h2load.log"
    options = [f"--clients={connections}", f"--max-concurrent-streams={streams}", f"--log-file={log}"]
    # With a warm-up of its own it logs requests that are under way at its end without their status.
    for seconds in (subject.effort.warm_up, subject.effort.duration):
        log.unlink(missing_ok=True)
        line = ["h2load", *options, f"--duration={seconds}s", subject.request.url(subject.running.port)]
        process.run(line, seconds)
    return parse_http2(log.read_text().splitlines(), line, seconds)


def parse_http2(log: Iterable[str], command: list[str], seconds: float) -> LoadResult:
    """Read the log of a run that measured for that long; raises LoadTestError where it has no good answer.

    Each line has microseconds since the epoch, the status (-1 where there was no answer) and microseconds.
    """
    rows = [line.split()[:3] for line in log]
    times = [int(taken) / 1000 for _, status, taken in rows if status.startswith(("2", "3"))]
    errors = Counter("failed" if status == "-1" else "status" for _, status, _ in rows if status[0] not in "23")
    require(times, f"h2load got no good answer: {errors.total()} errors")
    began = min(int(start) for start, _, _ in rows) / 1_000_000
    return LoadResult(command, len(times), seconds, percentiles_of(times), dict(errors), began=began)


def version() -> str:
    """Return the first line that wrk prints of itself; raises LoadTestError where there is no wrk."""
    try:
        done = subprocess.run(["wrk", "--version"], capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        raise LoadTestError("wrk is not installed (Debian's package wrk)") from None
    return done.stdout.split(" Copyright")[0]
