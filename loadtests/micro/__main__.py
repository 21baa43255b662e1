"""pyperf's runner: `python -m loadtests.micro [OPTION]... [BENCHMARK]...`.

pyperf starts a process for each run of each benchmark, finds how often to repeat it, and prints or writes what came
out. A value is CPU time of all the process's threads, which does not run while other processes have the CPU. They are
under Linux's batch policy, by which a thread that is woken never interrupts the one that runs: so a hand-over between
threads takes the same course every time. The loop is on a thread beside the main one, as those of a server are.
"""

import asyncio
import gc
import os
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean

import pyperf

from loadtests.micro.benchmarks import BENCHMARKS
from threadserve.runtime.loops import find_loop_factory

# The repeats of which a value is made, and how long one takes at the least.
REPEATS, MIN_REPEAT_SECONDS = 20, 0.0025
# Batches before them, and batches in one for which switches are counted.
WARM_UP, COUNTED = 20, 10


def switches() -> float:
    """Return the voluntary switches between threads of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def measure(
    loops: int, name: str, batches: int, clock: Callable[[], float], pick: Callable[[list[float]], float]
) -> float:
    """Return by how much the clock goes on in so many times so many batches of a benchmark.

    Of all repeats that is what `pick` says. Garbage is collected before them, and not in between.
    """
    benchmark = BENCHMARKS[name]
    operations = loops * batches * benchmark.batch

    async def on_loop() -> float:
        async with benchmark.prepare() as repeat:
            await repeat(WARM_UP * benchmark.batch)
            gc.collect()
            gc.disable()
            taken = []
            for _ in range(REPEATS):
                began = clock()
                await repeat(operations)
                taken.append(clock() - began)
            gc.enable()
        return pick(taken)

    with asyncio.Runner(loop_factory=find_loop_factory("auto")) as runner, ThreadPoolExecutor(1, "threadserve") as pool:
        return pool.submit(lambda: runner.run(on_loop())).result()


def main() -> None:
    """Have pyperf measure the benchmarks that are named, or all."""
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    runner = pyperf.Runner(
        min_time=MIN_REPEAT_SECONDS,
        program_args=("-m", "loadtests.micro"),
        add_cmdline_args=lambda line, arguments: line.extend(arguments.names),
    )
    runner.argparser.add_argument("names", nargs="*", choices=list(BENCHMARKS), metavar="BENCHMARK")
    for name in runner.parse_args().names or BENCHMARKS:
        batch = BENCHMARKS[name].batch
        # Other processes on the machine only make an operation slower, so the quickest repeat counts.
        runner.bench_time_func(name, measure, name, 1, time.process_time, min, inner_loops=batch)
        if BENCHMARKS[name].crosses_threads:
            told = {"inner_loops": COUNTED * batch, "metadata": {"unit": "integer"}}
            runner.bench_time_func(f"{name}-switches", measure, name, COUNTED, switches, fmean, **told)


if __name__ == "__main__":
    main()
