"""Runs wrk and reads what a script of ours makes it print: wrk itself tells no percentile beyond the 99th."""

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from loadtests.errors import LoadTestError
from loadtests.generators import process
from loadtests.generators.result import RANKS, LoadResult
from loadtests.request import Request

REPORT = Path(__file__).with_name("wrk_report.lua")


@dataclass(frozen=True)
class Load:
    """The threads, connections and seconds of wrk or h2load."""

    threads: int
    connections: int
    warm_up_seconds: int
    seconds: int


def parse(output: str, command: list[str], began: float = 0.0) -> LoadResult:
    """Read the output of wrk with our script; raises LoadTestError where it is something else, or without answers."""
    line = next((line for line in output.splitlines() if line.startswith("{")), "")
    try:
        told: dict[str, Any] = json.loads(line)
    except ValueError:
        raise LoadTestError(f"wrk printed no report: {output.strip() or 'nothing at all'}") from None
    errors = {kind: count for kind, count in sorted(told["errors"].items()) if count}
    answered = told["requests"] - errors.get("status", 0)
    if answered <= 0:
        said = ", ".join(f"{count} {kind} errors" for kind, count in errors.items())
        raise LoadTestError(f"wrk got no good answer: {said or 'and no error either'}")
    return LoadResult(
        command=command,
        requests=answered,
        seconds=told["time"] / 1_000_000,
        percentiles={rank: microseconds / 1000 for rank, microseconds in told["percentiles"].items()},
        errors=errors,
        began=began,
    )


def command(load: Load, seconds: int, request: Request, port: int, script: Path) -> list[str]:
    """Return the command line; `script` is the file that `script_for` fills."""
    headers = [part for name, value in request.headers.items() for part in ("--header", f"{name}: {value}")]
    numbers = ["--threads", str(load.threads), "--connections", str(load.connections), "--duration", f"{seconds}s"]
    return ["wrk", *numbers, *headers, "--script", str(script), request.url(port)]


def script_for(request: Request) -> str:
    """Return the Lua that wrk needs for a method and a body; JSON's string literals are Lua's for printable ASCII."""
    posted = f'wrk.method = "POST"\nwrk.body = {json.dumps(request.body)}\n' if request.body else ""
    return f"ranks = {{{', '.join(map(json.dumps, RANKS))}}}\n{posted}{REPORT.read_text()}"


def once(load: Load, seconds: int, request: Request, port: int, folder: Path) -> LoadResult:
    """Drive the server on `port` for that long; `folder` is for the script. Raises LoadTestError where wrk fails."""
    script = folder / "request.lua"
    script.write_text(script_for(request))
    line = command(load, seconds, request, port, script)
    began = time.time()
    output, _ = process.run(line, seconds)
    return parse(output, line, began)


def run(load: Load, request: Request, port: int, folder: Path) -> LoadResult:
    """Warm the server up, then measure. Errors of both count; raises LoadTestError where wrk fails."""
    before = once(load, load.warm_up_seconds, request, port, folder)
    result = once(load, load.seconds, request, port, folder)
    errors = {f"{kind} in the warm-up": count for kind, count in before.errors.items()} | result.errors
    return replace(result, errors=errors, warm_up_requests=before.requests)


def version() -> str:
    """Return the first line that wrk prints of itself; raises LoadTestError where there is no wrk."""
    return process.version(["wrk", "--version"], "wrk").split(" Copyright")[0]
