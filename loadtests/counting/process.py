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

from loadtests.errors import LoadTestError
from loadtests.micro.all import BENCHMARKS
from loadtests.micro.benchmark import Benchmark, Repeat
from threadserve.runtime.forms import get_form
from threadserve.runtime.loops import find_loop_factory

# Operations before counting begins, and in the two runs that are counted.
WARM_UP, FEW, MANY = 300, 200, 1200
CONTROL_SECONDS = 120
TOTAL = re.compile(r"^\s*Th \d+ +([\d,]+)", re.MULTILINE)


def control(*options: str) -> str:
    """Tells callgrind, which runs this process, to do something; returns what its command prints."""
    line = ["callgrind_control", *options, str(os.getpid())]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=CONTROL_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LoadTestError(f"callgrind cannot be told what to do: {error}") from None
    if done.returncode:
        raise LoadTestError(f"callgrind cannot be told what to do: {done.stderr.strip()}")
    return done.stdout


def total(told: str) -> int:
    """The instructions of all threads in what `callgrind_control -e` prints; raises LoadTestError without any."""
    counts = [int(count.replace(",", "")) for count in TOTAL.findall(told)]
    if not counts:
        raise LoadTestError(f"callgrind counted nothing: {told.strip() or 'it says nothing'}")
    return sum(counts)


async def counted(repeat: Repeat, operations: int) -> int:
    control("--zero")
    await repeat(operations)
    return total(control("-e"))


async def count(benchmark: Benchmark) -> float:
    """The instructions of one operation; raises LoadTestError where the benchmark does not do what it should."""
    async with benchmark.prepare() as repeat:
        await repeat(WARM_UP)
        gc.collect()
        gc.freeze()
        gc.disable()
        control("--instr=on")
        await repeat(WARM_UP)
        few = await counted(repeat, FEW)
        return (await counted(repeat, MANY) - few) / (MANY - FEW)


def main() -> None:
    """Reads a benchmark's name from the command line, counts, and prints."""
    benchmark = next(each for each in BENCHMARKS if each.name == sys.argv[1])
    try:
        with asyncio.Runner(loop_factory=find_loop_factory("auto")) as runner:
            instructions = runner.run(count(benchmark))
    except LoadTestError as error:
        sys.exit(str(error))
    print(json.dumps({"instructions": instructions, "form": get_form()}))


if __name__ == "__main__":
    main()
