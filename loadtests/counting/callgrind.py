"""Runs a micro-benchmark under callgrind, on the threadserve that is installed for an interpreter."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from loadtests.errors import LoadTestError
from loadtests.process_groups import process_group
from loadtests.servers.interpreters import ROOT

# Callgrind takes twenty to a hundred times as long as the operations by themselves.
PATIENCE = 600.0
# Counting is switched on by the process itself, so that it starts much faster.
VALGRIND = ("valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=/dev/null")
# With -P and the clone at the end of the path an installed threadserve is taken, not the one of the clone.
START = "import runpy, sys; sys.path.append('.'); runpy.run_module('loadtests.counting.process', run_name='__main__')"


@dataclass(frozen=True)
class Counted:
    """What one operation of the benchmark takes, in which form of threadserve, and how that was found out."""

    instructions: float
    form: str
    command: list[str]


def count(python: str, benchmark: str, environment: Mapping[str, str]) -> Counted:
    """Counts once; raises LoadTestError where that fails."""
    # The same seed each time: the order of things in sets and dictionaries costs instructions.
    settings = {**environment, "PYTHONHASHSEED": "0"}
    line = [*VALGRIND, python, "-P", "-c", START, benchmark]
    try:
        with process_group() as group:
            done = subprocess.run(
                line, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=PATIENCE, process_group=group
            )
    except FileNotFoundError:
        raise LoadTestError("valgrind is not installed (Debian's package valgrind)") from None
    except subprocess.TimeoutExpired:
        raise LoadTestError(f"{benchmark} did not end under callgrind") from None
    if done.returncode:
        raise LoadTestError(f"{benchmark} failed under callgrind: {''.join(done.stderr.splitlines()[-1:])}")
    return Counted(**json.loads(done.stdout), command=line)
