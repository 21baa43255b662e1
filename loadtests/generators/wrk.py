"""Runs wrk and reads what it prints."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from loadtests.errors import LoadTestError
from loadtests.request import Request

MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0, "h": 3_600_000.0}


@dataclass(frozen=True)
class Load:
    """How hard wrk drives a server."""

    threads: int
    connections: int


@dataclass(frozen=True)
class WrkResult:
    """What wrk reports of one run; latencies in milliseconds, errors by their kind and only where there were any."""

    requests: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    errors: dict[str, int]


def parse(output: str) -> WrkResult:
    """Reads the output of `wrk --latency`; raises LoadTestError where it is something else."""
    return WrkResult(
        requests=int(found(r"(\d+) requests in ", output)),
        requests_per_second=float(found(r"Requests/sec:\s+([\d.]+)", output)),
        p50_ms=milliseconds(found(r"50%\s+([\d.]+[a-z]+)", output)),
        p99_ms=milliseconds(found(r"99%\s+([\d.]+[a-z]+)", output)),
        errors=errors_in(output),
    )


def found(pattern: str, output: str) -> str:
    match = re.search(pattern, output)
    if match is None:
        raise LoadTestError(f"wrk printed no {pattern}: {output.strip() or 'nothing at all'}")
    return match[1]


def milliseconds(text: str) -> float:
    """A duration as wrk prints it, such as 615.00us."""
    match = re.fullmatch(r"([\d.]+)([a-z]+)", text)
    if match is None or match[2] not in MILLISECONDS:
        raise LoadTestError(f"{text!r} is no duration")
    return float(match[1]) * MILLISECONDS[match[2]]


def errors_in(output: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    sockets = re.search(r"Socket errors: (.*)", output)
    if sockets is not None:
        counts = {kind: int(count) for kind, count in re.findall(r"(\w+) (\d+)", sockets[1])}
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    if refused is not None:
        counts["status"] = int(refused[1])
    return {kind: count for kind, count in counts.items() if count}


def command(load: Load, seconds: int, request: Request, port: int, script: Path) -> list[str]:
    """The command line; a request with a body needs the script that `script_for` makes."""
    headers = [part for name, value in request.headers.items() for part in ("--header", f"{name}: {value}")]
    scripted = ["--script", str(script)] if request.body else []
    numbers = ["--threads", str(load.threads), "--connections", str(load.connections), "--duration", f"{seconds}s"]
    return ["wrk", *numbers, "--latency", *headers, *scripted, f"http://127.0.0.1:{port}{request.path}"]


def script_for(request: Request) -> str:
    """wrk takes a method and a body from Lua only. JSON's string literals are Lua's for printable ASCII."""
    return f'wrk.method = "POST"\nwrk.body = {json.dumps(request.body)}\n'


def run(load: Load, seconds: int, request: Request, port: int, folder: Path) -> WrkResult:
    """Drives the server on `port` for that long; `folder` is for the script. Raises LoadTestError where wrk fails."""
    script = folder / "request.lua"
    script.write_text(script_for(request))
    line = command(load, seconds, request, port, script)
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=seconds + 30)
    except subprocess.TimeoutExpired:
        raise LoadTestError(f"wrk did not end within {seconds + 30} seconds") from None
    if done.returncode:
        raise LoadTestError(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    return parse(done.stdout)


def version() -> str:
    """The first line that wrk prints of itself; raises LoadTestError where there is no wrk."""
    try:
        done = subprocess.run(["wrk", "--version"], capture_output=True, text=True, timeout=10)
    except FileNotFoundError:
        raise LoadTestError("wrk is not installed (Debian's package wrk)") from None
    return (done.stdout or done.stderr).splitlines()[0]
