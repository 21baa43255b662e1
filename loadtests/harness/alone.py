"""Measurements without a load on a running server: the instructions of a request, and the start of a server."""

import tempfile
import time
from pathlib import Path

from loadtests.apps import project
from loadtests.errors import require
from loadtests.generators import process
from loadtests.harness.measurement import Entry, Measured
from loadtests.micro import callgrind
from loadtests.request import GET_ROOT
from loadtests.servers.commands import Server, threadserve
from loadtests.servers.processes import serving
from loadtests.servers.usage import memory_of_tree

INSTRUCTIONS = "instructions per request"
BENCHMARK = "get"
START = "start over 1 thread's and further imports"
START_THREADS = 4
# The libraries are there already, as for every thread but the first.
IMPORT = "import fastapi, time; begin = time.perf_counter(); import shop.main; print(time.perf_counter() - begin)"
SETTLE_SECONDS = 0.5


def instructions(entry: Entry, variables: dict[str, str]) -> tuple[list[str], Measured]:
    """Count those of a request without sockets; raises LoadTestError where it is not the wanted form of threadserve."""
    more = entry.server.variables
    counted, form, line = callgrind.count(entry.interpreter.path, BENCHMARK, variables | more)
    is_other = entry.server.interpreted and form != "interpreted"
    require(not is_other, f"threadserve was {form}, although {', '.join(more)} was set")
    command = [*(f"{name}={value}" for name, value in more.items()), *line]
    return command, Measured({INSTRUCTIONS: counted}, details={"form": form})


def starting(entry: Entry, variables: dict[str, str]) -> tuple[list[str], Measured]:
    """Start a project with one thread and with several, each of which imports it anew; raises LoadTestError."""
    python = entry.interpreter.path
    with tempfile.TemporaryDirectory(prefix="loadtests-") as name:
        folder = Path(name)
        project.write(folder)
        line = [python, "-c", IMPORT]
        # The first one compiles the modules.
        for _ in range(2):
            printed = process.run(line, 0.0, name="the import of the project", folder=folder, variables=variables)
        one = threadserve(entry.interpreter.build, 1)
        first, first_mb, _ = start(one, python, variables, folder)
        several, several_mb, command = start(entry.server, python, variables, folder)
    further = START_THREADS - 1
    values = {
        START: several / (first + further * float(printed)),
        "s to start": several,
        "s to start with 1 thread": first,
        "s of an import": float(printed),
        "MB per further thread": (several_mb - first_mb) / further,
    }
    return command, Measured(values)


def start(server: Server, python: str, variables: dict[str, str], folder: Path) -> tuple[float, float, list[str]]:
    """Return the seconds until the first answer, the memory (PSS) in MB then, and the command line."""
    with tempfile.TemporaryDirectory(prefix="loadtests-") as logs:
        begin = time.perf_counter()
        with serving(server, python, project.APP, GET_ROOT, variables, Path(logs), folder) as running:
            seconds = time.perf_counter() - begin
            time.sleep(SETTLE_SECONDS)
            return seconds, memory_of_tree(running.pid)["PSS MB"], running.command
