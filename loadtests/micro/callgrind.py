"""Instructions of a micro-benchmark under callgrind, on the threadserve of an interpreter: they repeat exactly."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from loadtests.generators import process
from loadtests.servers.interpreters import ROOT

# Callgrind takes twenty to a hundred times as long as the operations by themselves.
SECONDS = 480.0
# Counting is switched on by the process itself, so that it starts much faster.
VALGRIND = ("valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=/dev/null")
# With -P and the clone at the end of the path an installed threadserve is taken, not the one of the clone.
START = "import runpy, sys; sys.path.append('.'); runpy.run_module('loadtests.micro.counting', run_name='__main__')"


@dataclass(frozen=True)
class Counted:
    """The instructions of one operation, the form of threadserve that took them, and the command that counted them."""

    instructions: float
    form: str
    command: list[str]


def count(python: str, benchmark: str, environment: Mapping[str, str]) -> Counted:
    """Count once; raise LoadTestError where that fails."""
    line = [*VALGRIND, python, "-P", "-c", START, benchmark]
    # The same seed each time: the order of things in sets and dictionaries costs instructions.
    told = process.run(line, SECONDS, folder=ROOT, variables={**environment, "PYTHONHASHSEED": "0"})
    return Counted(**json.loads(told), command=line)
