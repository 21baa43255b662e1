"""The process that runs under callgrind: `loadtests.micro.counting BENCHMARK` prints what it counted as JSON.

Two runs are counted, and their difference is taken, so that what counting itself adds is left out.
"""

import asyncio
import gc
import json
import os
import re
import subprocess
import sys

from loadtests.errors import require
from loadtests.micro.benchmarks import BENCHMARKS
from threadserve.runtime.forms import get_form
from threadserve.runtime.loops import find_loop_factory

# Operations before counting begins, and in the two runs that are counted.
WARM_UP, FEW, MANY = 300, 200, 1200
TOTAL = re.compile(r"^\s*Th \d+ +([\d,]+)", re.MULTILINE)


def control(option: str) -> str:
    """Tell callgrind, which runs this process, to do something; return what its command prints."""
    return subprocess.check_output(["callgrind_control", option, str(os.getpid())], text=True)


def total(told: str) -> int:
    """Return the instructions of all threads in what `callgrind_control -e` prints; raise LoadTestError without any."""
    counts = TOTAL.findall(told)
    require(counts, f"callgrind counted nothing: {told.strip() or 'it says nothing'}")
    return sum(int(count.replace(",", "")) for count in counts)


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
            counts.append(total(control("-e")))
        return (counts[1] - counts[0]) / (MANY - FEW)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=find_loop_factory("auto")) as runner:
        print(json.dumps({"instructions": runner.run(instructions(sys.argv[1])), "form": get_form()}))
