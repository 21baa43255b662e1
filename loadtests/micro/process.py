"""One process of measurements, run by the interpreter that is measured: `python -m loadtests.micro.process` and JSON.

What is measured is CPU time of all the process's threads, which does not run while other processes have the CPU. They
are on one CPU and under Linux's batch policy, by which a thread that is woken never interrupts the one that runs: so a
hand-over between threads takes the same course every time, and does not depend on how soon another CPU wakes up.

Every benchmark runs in a fork of its own, on a thread beside the main one, as the loops of a server do. The interpreter
adapts code to the types that it meets there: another parser or interface that had run before would make it slower.
"""

import asyncio
import gc
import json
import multiprocessing
import os
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import threadserve
from loadtests.errors import LoadTestError
from loadtests.micro.all import BENCHMARKS
from loadtests.micro.benchmark import Benchmark, Repeat
from threadserve.runtime.loops import find_loop_factory

WARM_UP_REPEATS = 10
# Garbage is collected after so many repeats, and never during one.
COLLECT_EVERY = 25
FORK = multiprocessing.get_context("fork")


async def measure(benchmark: Benchmark, repeats: int) -> tuple[float, float]:
    """Return CPU microseconds of one operation in the quickest repeat, and its switches between threads.

    Raises LoadTestError, naming the benchmark, where it does not do what it should.
    """
    measured: list[tuple[float, float]] = []
    try:
        async with benchmark.prepare() as repeat:
            for number in range(WARM_UP_REPEATS + repeats):
                if number % COLLECT_EVERY == 0:
                    gc.collect()
                measured.append(await measure_once(benchmark.operations, repeat))
    except Exception as error:
        raise LoadTestError(f"{benchmark.name}: {error or type(error).__name__}") from error
    microseconds, switches = zip(*measured[WARM_UP_REPEATS:], strict=True)
    return min(microseconds), median(switches)


async def measure_once(operations: int, repeat: Repeat) -> tuple[float, float]:
    """Return the same of one repeat; what is left of it on the loop has a turn afterwards."""
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    began = time.process_time()
    await repeat(operations)
    seconds = time.process_time() - began
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - switches
    await asyncio.sleep(0)
    return seconds * 1_000_000 / operations, switches / operations


def tell(benchmark: Benchmark, repeats: int) -> None:
    """Measure in a fork, and print it as one line of JSON."""
    gc.disable()
    with asyncio.Runner(loop_factory=find_loop_factory("auto")) as runner, ThreadPoolExecutor(1, "threadserve") as pool:
        try:
            measured = pool.submit(lambda: runner.run(measure(benchmark, repeats))).result()
        except LoadTestError as error:
            sys.exit(str(error))
    print(json.dumps((benchmark.name, *measured)), flush=True)


def main(tree: str, cpu: str, repeats: str, *names: str) -> None:
    """Measure benchmarks of the threadserve in `tree` on a CPU; exit with one line of what went wrong."""
    if not Path(threadserve.__file__).is_relative_to(tree):
        sys.exit(f"it takes threadserve from {threadserve.__file__}")
    os.sched_setaffinity(0, {int(cpu)})
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    gc.collect()
    gc.freeze()
    for name in names:
        fork = FORK.Process(target=tell, args=(BENCHMARKS[name], int(repeats)))
        fork.start()
        fork.join()
        if fork.exitcode:
            sys.exit(fork.exitcode)


if __name__ == "__main__":
    main(*sys.argv[1:])
