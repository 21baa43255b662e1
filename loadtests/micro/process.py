"""The run of pyperf on the interpreter that is measured: `python -m loadtests.micro.process [OPTION]... NAME...`.

pyperf starts a process for each run of each benchmark, finds how often to repeat it, and writes JSON. A value is CPU
time of all the process's threads, which does not run while other processes have the CPU. They are under Linux's batch
policy, by which a thread that is woken never interrupts the one that runs: so a hand-over between threads takes the
same course every time. The loop is on a thread beside the main one, as those of a server are.
"""

import asyncio
import gc
import os
import resource
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean
from typing import Any

import pyperf

from loadtests.errors import LoadTestError
from loadtests.micro.client import Repeat
from loadtests.micro.table import BENCHMARKS, Benchmark
from threadserve.runtime.loops import find_loop_factory

# A value is the least of so many repeats: other processes on the machine only make an operation slower.
REPEATS, MIN_REPEAT_SECONDS = 20, 0.0025
# Batches before them, and at the least in one for which switches are counted.
WARM_UP, LEAST_COUNTED = 20, 10
# Ends the name under which the switches in an operation are told.
SWITCHES = "-switches"


def cpu_seconds(loops: int, name: str) -> float:
    """Return the CPU seconds of so many batches of a benchmark, in the quickest repeat."""
    return run(name, loops)[0]


def switches(loops: int, name: str) -> float:
    """Return the voluntary switches between threads in so many batches of a benchmark, on average."""
    counted = max(loops, LEAST_COUNTED)
    return run(name, counted)[1] * loops / counted


def run(name: str, batches: int) -> tuple[float, float]:
    """Return the least CPU seconds of a repeat, and the mean of its switches.

    Raises LoadTestError, with the benchmark's name, where it does not do what it should.
    """
    with asyncio.Runner(loop_factory=find_loop_factory("auto")) as runner, ThreadPoolExecutor(1, "threadserve") as pool:
        try:
            return pool.submit(lambda: runner.run(measure(BENCHMARKS[name], batches))).result()
        except Exception as error:
            raise LoadTestError(f"{name}: {error or type(error).__name__}") from error


async def measure(benchmark: Benchmark, batches: int) -> tuple[float, float]:
    """Return the same, measured on the running loop. Garbage is collected before the repeats, and not in between."""
    async with benchmark.prepare() as repeat:
        await repeat(WARM_UP * benchmark.batch)
        gc.collect()
        gc.disable()
        try:
            measured = [await measure_once(repeat, batches * benchmark.batch) for _ in range(REPEATS)]
        finally:
            gc.enable()
    seconds, switches = zip(*measured, strict=True)
    return min(seconds), fmean(switches)


async def measure_once(repeat: Repeat, operations: int) -> tuple[float, int]:
    """Return CPU seconds and switches of one repeat."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    began = time.process_time()
    await repeat(operations)
    seconds = time.process_time() - began
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before


def pass_names(command: list[str], arguments: Any) -> None:
    """Add the benchmarks' names to the command line of a process that pyperf starts."""
    command += arguments.names


def main() -> None:
    """Measure; exit with one line of what went wrong."""
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    runner = pyperf.Runner(
        min_time=MIN_REPEAT_SECONDS, program_args=("-m", "loadtests.micro.process"), add_cmdline_args=pass_names
    )
    runner.argparser.add_argument("names", nargs="+", choices=list(BENCHMARKS))
    try:
        measure_all(runner, runner.parse_args().names)
    except LoadTestError as error:
        sys.exit(error.message)
    except RuntimeError:
        # The process that pyperf started has said why it failed.
        sys.exit(1)


def measure_all(runner: Any, names: Sequence[str]) -> None:
    """Have pyperf measure these benchmarks."""
    for name in names:
        batch = BENCHMARKS[name].batch
        runner.bench_time_func(name, cpu_seconds, name, inner_loops=batch)
        if BENCHMARKS[name].crosses_threads:
            runner.bench_time_func(name + SWITCHES, switches, name, inner_loops=batch, metadata={"unit": "integer"})


if __name__ == "__main__":
    main()
