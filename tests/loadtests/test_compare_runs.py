"""`python -m loadtests compare` as a process of its own: real servers under a real load, for two seconds each."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from support.comparison import FACTS, sample
from support.server_process import PACKAGE_ROOT
from support.waiting import wait_until

from loadtests import results as record
from loadtests.generators.result import RANKS
from loadtests.results import CPU, RATE, Results

GENERATOR = "wrk" if shutil.which("wrk") else "locust"
# Interpreters, servers and Locust take seconds, and a slow machine ten times as many.
pytestmark = [
    pytest.mark.skipif(not (shutil.which("wrk") or find_spec("locust")), reason="neither wrk nor Locust is installed"),
    pytest.mark.timeout(600),
]
QUICK = ("--threads", "1", "--users", "4", "--connections", "4", "--duration", "2", "--warm-up", "1")
DEADLINE = 500
MARK = "STARTED_BY"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}{sys.abiflags}"

# Uvicorn imports it, logs its last words, and is gone.
POISON = """
import os, sys

if "uvicorn" in sys.modules:
    print("no more of this", file=sys.stderr, flush=True)
    os._exit(7)

async def app(scope, receive, send):
    assert scope["type"] == "http"
    status = 200 if scope["path"] == "/here" else 404
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""


def command(*arguments: str, output: Path) -> list[str]:
    line = [sys.executable, "-m", "loadtests", "compare", *arguments, *QUICK]
    return [*line, "--peer", "uvicorn", "--output", str(output)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PACKAGE_ROOT)}


def started_by(mark: str) -> list[psutil.Process]:
    """Return the processes of a comparison that was started with this mark: itself, servers, load generators."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == mark:
                found.append(process)
    return found


def compare(*arguments: str, output: Path, cwd: Path = PACKAGE_ROOT) -> subprocess.CompletedProcess[str]:
    line = command(*arguments, output=output)
    return subprocess.run(line, capture_output=True, text=True, timeout=DEADLINE, cwd=cwd, env=environment())


def test_two_servers_are_compared(tmp_path: Path) -> None:
    """One's own app, with which a peer dies in the end; and with an earlier run."""
    (tmp_path / "mine.py").write_text(POISON)
    before, output = tmp_path / "before.json", tmp_path / "output"
    ours, theirs = f"threadserve on {VERSION}", f"Uvicorn on {VERSION}"
    record.write(before, Results(FACTS, {"own": "Mine"}, [], [sample("own", ours, rate=10**9)]))
    own = ("--app", "mine:app", "--path", "/here", "--baseline", str(before))
    done = compare(*own, "--rounds", "1", output=output, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = record.read(output / "results.json")
    (one,) = results.samples
    assert (one.server, one.round, one.errors) == (ours, 1, {})
    assert min(one.values[RATE], one.values[CPU], one.values["USS MB"]) > 0
    assert {f"p{rank} ms" for rank in RANKS} <= set(one.values)
    assert one.values["OS threads"] >= one.values["processes"] >= 1
    assert "mine:app" in one.command
    assert results.titles == {"own": "mine:app, /here"}
    failure = f"own: {theirs}, --threads 1 is left out from round 1 on: the server ended with 7"
    (line,) = results.left_out
    assert line.startswith(failure)
    assert line.endswith("no more of this")
    assert line in done.stderr.splitlines()
    assert f"| {ours} |" in done.stdout
    assert f"| own | {ours} | 1 | requests/s | " in done.stdout
    assert results.facts["interpreters"]["peers"]["packages"]["uvicorn"]
    assert list(results.facts["load_generators"]) == [GENERATOR]
    assert (output / "table.md").read_text() in done.stdout


@dataclass
class Endless:
    """A comparison of more rounds than anybody waits for; what it starts has its mark in the environment."""

    process: subprocess.Popen[str]
    mark: str


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[Endless]:
    line = [*command("hello", "--rounds", "50", output=tmp_path), "--threads", "2"]
    pipe, mark = subprocess.PIPE, secrets.token_hex()
    marked = {**environment(), MARK: mark}
    with subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True, cwd=PACKAGE_ROOT, env=marked) as process:
        try:
            yield Endless(process, mark)
        finally:
            process.kill()
            for left in started_by(mark):
                left.kill()


def test_an_interruption_leaves_what_was_measured(endless: Endless, tmp_path: Path) -> None:
    assert endless.process.stderr is not None
    assert any("round 1 of 50" in line for line in endless.process.stderr)
    endless.process.send_signal(signal.SIGTERM)
    stdout, stderr = endless.process.communicate(timeout=DEADLINE)
    assert endless.process.returncode == 130, stderr
    results = record.read(tmp_path / "results.json")
    assert results.samples
    assert results.left_out == [f"interrupted: {len(results.samples)} of 200 samples were measured"]
    assert f"| threadserve on {VERSION} |" in stdout
    assert (tmp_path / "table.md").exists()
    wait_until(lambda: not started_by(endless.mark), "the end of servers and load generator")


def test_a_comparison_that_is_killed_leaves_no_process(endless: Endless) -> None:
    wait_until(lambda: any("hello:app" in " ".join(line) for line in lines_of(endless.mark)), "a server", DEADLINE)
    endless.process.kill()
    endless.process.communicate(timeout=DEADLINE)
    wait_until(lambda: not started_by(endless.mark), "the end of servers and load generator")


def lines_of(mark: str) -> list[list[str]]:
    """The command lines of what a comparison has started, itself left out."""
    lines = []
    for process in started_by(mark):
        with suppress(psutil.Error):
            lines.append(process.cmdline())
    return [line for line in lines if "compare" not in line]
