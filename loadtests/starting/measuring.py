"""Measures a start: from the command to the first answer, and what the imports of the project alone take."""

import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from loadtests.errors import LoadTestError
from loadtests.request import GET_ROOT
from loadtests.servers import memory
from loadtests.servers.commands import threadserve
from loadtests.servers.interpreters import Interpreter, environment
from loadtests.servers.processes import serving

APP = "shop.main:app"
# The libraries are there already, as for every thread but the first.
IMPORT = "import fastapi, time; begin = time.perf_counter(); import shop.main; print(time.perf_counter() - begin)"
SETTLE_SECONDS = 0.5


@dataclass(frozen=True)
class Start:
    """One start with so many threads. Sizes are in MB."""

    threads: int
    seconds: float
    pss: float


def start(interpreter: Interpreter, folder: Path, threads: int) -> Start:
    """Starts a server for the project in a folder, and stops it when it has answered."""
    server = threadserve("free-threaded" if interpreter.free_threaded else "ordinary", threads)
    with tempfile.TemporaryDirectory(prefix="loadtests-") as logs:
        begin = time.perf_counter()
        with serving(server, interpreter.path, APP, GET_ROOT, environment(), Path(logs), folder) as running:
            seconds = time.perf_counter() - begin
            time.sleep(SETTLE_SECONDS)
            return Start(threads, seconds, memory.of_tree(running.pid)["PSS MB"])


def import_seconds(interpreter: Interpreter, folder: Path) -> float:
    """How long importing the project takes where its libraries are imported. Raises LoadTestError."""
    line = [interpreter.path, "-c", IMPORT]
    done = subprocess.run(line, cwd=folder, env=environment(), capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise LoadTestError(f"the project cannot be imported: {done.stderr.strip()}")
    return float(done.stdout)
