"""Runs wrk and reads what a script of ours makes it print: wrk itself tells no percentile beyond the 99th."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.errors import LoadTestError
from loadtests.generators import process
from loadtests.generators.result import RANKS, LoadResult
from loadtests.request import Request

REPORT = Path(__file__).with_name("wrk_report.lua")


@dataclass(frozen=True)
class Load:
    """How hard wrk or h2load drives a server."""

    threads: int
    connections: int


def parse(output: str, command: list[str], began: float = 0.0) -> LoadResult:
    """Reads the output of wrk with our script; raises LoadTestError where it is something else, or without answers."""
    told = report_in(output)
    errors = {kind: count for kind, count in sorted(told["errors"].items()) if count}
    answered = told["requests"] - errors.get("status", 0)
    if answered <= 0:
        raise LoadTestError(f"wrk got no good answer: {counts(errors) or 'and no error either'}")
    return LoadResult(
        command=command,
        requests=answered,
        seconds=told["time"] / 1_000_000,
        percentiles={rank: microseconds / 1000 for rank, microseconds in told["percentiles"].items()},
        errors=errors,
        began=began,
    )


def report_in(output: str) -> dict[str, Any]:
    """What our script has printed, on a line of its own."""
    line = next((line for line in output.splitlines() if line.startswith("{")), "")
    try:
        told: dict[str, Any] = json.loads(line)
    except ValueError:
        raise LoadTestError(f"wrk printed no report: {output.strip() or 'nothing at all'}") from None
    return told


def counts(errors: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind} errors" for kind, count in errors.items())


def command(load: Load, seconds: int, request: Request, port: int, script: Path) -> list[str]:
    """The command line; `script` is the file that `script_for` fills."""
    headers = [part for name, value in request.headers.items() for part in ("--header", f"{name}: {value}")]
    numbers = ["--threads", str(load.threads), "--connections", str(load.connections), "--duration", f"{seconds}s"]
    return ["wrk", *numbers, *headers, "--script", str(script), request.url(port)]


def script_for(request: Request) -> str:
    """wrk takes a method and a body from Lua only. JSON's string literals are Lua's for printable ASCII."""
    posted = f'wrk.method = "POST"\nwrk.body = {json.dumps(request.body)}\n' if request.body else ""
    return f"ranks = {{{', '.join(map(json.dumps, RANKS))}}}\n{posted}{REPORT.read_text()}"


def run(load: Load, seconds: int, request: Request, port: int, folder: Path) -> LoadResult:
    """Drives the server on `port` for that long; `folder` is for the script. Raises LoadTestError where wrk fails."""
    script = folder / "request.lua"
    script.write_text(script_for(request))
    line = command(load, seconds, request, port, script)
    began = time.time()
    return parse(process.run(line, seconds), line, began)


def version() -> str:
    """The first line that wrk prints of itself; raises LoadTestError where there is no wrk."""
    return process.version(["wrk", "--version"], "wrk").split(" Copyright")[0]
