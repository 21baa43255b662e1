"""Instructions of a micro-benchmark, counted by callgrind: they repeat exactly where times do not.

`count` starts this module under callgrind, on the threadserve that is installed for an interpreter. There two runs are
counted, and their difference is taken, so that what counting itself adds is left out.
"""

import asyncio
import gc
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping

from loadtests.errors import require
from loadtests.generators import process
from loadtests.micro.benchmarks import BENCHMARKS
from loadtests.servers.interpreters import ROOT
from threadserve.runtime.forms import get_form
from threadserve.runtime.loops import find_loop_factory

# Callgrind takes twenty to a hundred times as long as the operations by themselves.
SECONDS = 480.0
# Counting is switched on by the process itself, so that it starts much faster.
VALGRIND = ("valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=/dev/null")
# With -P and the clone at the end of the path an installed threadserve is taken, not the one of the clone.
START = "import runpy, sys; sys.path.append('.'); runpy.run_module('loadtests.micro.callgrind', run_name='__main__')"
# Operations before counting begins, and in the two runs that are counted.
WARM_UP, FEW, MANY = 300, 200, 1200
# Of each thread, as `callgrind_control -e` prints them.
TOTAL = re.compile(r"^\s*Th \d+ +([\d,]+)", re.MULTILINE)


def count(python: str, benchmark: str, environment: Mapping[str, str]) -> tuple[float, str, list[str]]:
    """Return the instructions of one operation, the form of threadserve that took them, and the command line.

    Raises LoadTestError where counting fails.
    """
    line = [*VALGRIND, python, "-P", "-c", START, benchmark]
    # The same seed each time: the order of things in sets and dictionaries costs instructions.
    told = process.run(line, SECONDS, folder=ROOT, variables={**environment, "PYTHONHASHSEED": "0"})
    return *json.loads(told), line


def control(option: str) -> str:
    """Tell callgrind, which runs this process, to do something; return what its command prints."""
    return subprocess.check_output(["callgrind_control", option, str(os.getpid())], text=True)


async def instructions(name: str) -> float:
    """Return the instructions of one operation. Garbage is collected before, and not in between."""
    async with BENCHMARKS[name].prepare() as repeat:
        await repeat(WARM_UP)
        gc.collect()
        gc.freeze()
        gc.disable()
        control("--instr=on")
        await repeat(WARM_UP)
        counts = []
        for operations in (FEW, MANY):
            control("--zero")
            await repeat(operations)
            counts.append(sum(int(count.replace(",", "")) for count in TOTAL.findall(control("-e"))))
        require(all(counts), "callgrind counted nothing")
        return (counts[1] - counts[0]) / (MANY - FEW)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=find_loop_factory("auto")) as runner:
        print(json.dumps((runner.run(instructions(sys.argv[1])), get_form())))
