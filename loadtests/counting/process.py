"""The process that runs under callgrind: `loadtests.counting.process BENCHMARK` prints what it counted as JSON.

The benchmark is one of `loadtests.micro`, on the main thread. Two runs of it are counted, and their difference is
taken, so that what counting itself adds is left out. Garbage is collected before, and not in between.
"""

import asyncio
import gc
import json
import os
import re
import subprocess
import sys

from loadtests.errors import require
from loadtests.micro.table import BENCHMARKS
from threadserve.runtime.forms import get_form
from threadserve.runtime.loops import find_loop_factory

# Operations before counting begins, and in the two runs that are counted.
WARM_UP, FEW, MANY = 300, 200, 1200
CONTROL_SECONDS = 120
TOTAL = re.compile(r"^\s*Th \d+ +([\d,]+)", re.MULTILINE)


def control(*options: str) -> str:
    """Tell callgrind, which runs this process, to do something; return what its command prints."""
    line = ["callgrind_control", *options, str(os.getpid())]
    done = subprocess.run(line, capture_output=True, text=True, timeout=CONTROL_SECONDS)
    require(done.returncode == 0, f"callgrind cannot be told what to do: {done.stderr.strip()}")
    return done.stdout


def total(told: str) -> int:
    """Return the instructions of all threads in what `callgrind_control -e` prints; raise LoadTestError without any."""
    counts = TOTAL.findall(told)
    require(counts, f"callgrind counted nothing: {told.strip() or 'it says nothing'}")
    return sum(int(count.replace(",", "")) for count in counts)


async def count(name: str) -> float:
    """Return the instructions of one operation; raise LoadTestError where the benchmark does not do what it should."""
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
            counts.append(total(control("-e")))
        return (counts[1] - counts[0]) / (MANY - FEW)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=find_loop_factory("auto")) as runner:
        print(json.dumps({"instructions": runner.run(count(sys.argv[1])), "form": get_form()}))
