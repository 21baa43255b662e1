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
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import threadserve
from loadtests.errors import LoadTestError
from loadtests.micro.all import BENCHMARKS
from loadtests.micro.benchmark import Benchmark, Repeat
from threadserve.runtime.loops import find_loop_factory

WARM_UP_REPEATS = 10
# Garbage is collected after so many repeats, and never during one.
COLLECT_EVERY = 25
# How long a fork may take, in seconds; a repeat takes a millisecond of CPU time, much longer on a busy machine.
START_SECONDS = 30.0
REPEAT_SECONDS = 0.1
FORK = multiprocessing.get_context("fork")


@dataclass
class Measured:
    """What came out for one benchmark: CPU seconds of one operation in each repeat, and voluntary switches in one."""

    seconds: list[float] = field(default_factory=list)
    switches: list[float] = field(default_factory=list)


async def measure(benchmark: Benchmark, repeats: int) -> Measured:
    """Measures so many repeats. Raises LoadTestError, naming the benchmark, where it does not do what it should."""
    measured = Measured()
    with named(benchmark):
        async with benchmark.prepare() as repeat:
            for number in range(WARM_UP_REPEATS + repeats):
                if number % COLLECT_EVERY == 0:
                    gc.collect()
                seconds, switches = await one_repeat(benchmark.operations, repeat)
                if number >= WARM_UP_REPEATS:
                    measured.seconds.append(seconds)
                    measured.switches.append(switches)
    return measured


async def one_repeat(operations: int, repeat: Repeat) -> tuple[float, float]:
    """CPU seconds and voluntary switches of one operation; what is left of it on the loop has a turn afterwards."""
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    began = time.process_time()
    await repeat(operations)
    seconds = time.process_time() - began
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - switches
    await asyncio.sleep(0)
    return seconds / operations, switches / operations


@contextmanager
def named(benchmark: Benchmark) -> Iterator[None]:
    """Names the benchmark in whatever goes wrong with it, as a LoadTestError."""
    try:
        yield
    except Exception as error:
        raise LoadTestError(f"{benchmark.name}: {error or type(error).__name__}") from error


def measure_and_tell(benchmark: Benchmark, repeats: int, told: Connection) -> None:
    """What a fork does: sends what was measured, or as a text what went wrong."""

    def work() -> None:
        try:
            with asyncio.Runner(loop_factory=find_loop_factory("auto")) as runner:
                told.send(asdict(runner.run(measure(benchmark, repeats))))
        except LoadTestError as error:
            told.send(str(error))

    gc.disable()
    thread = threading.Thread(target=work, name="threadserve-1")
    thread.start()
    thread.join()


def measure_apart(benchmark: Benchmark, repeats: int) -> dict[str, Any]:
    """Measures in a fork; raises LoadTestError where that fails or does not end."""
    receiving, sending = FORK.Pipe(duplex=False)
    fork = FORK.Process(target=measure_and_tell, args=(benchmark, repeats, sending))
    fork.start()
    sending.close()
    told: Any = f"{benchmark.name}: it does not end"
    try:
        if receiving.poll(START_SECONDS + REPEAT_SECONDS * repeats):
            told = receiving.recv()
    except EOFError:
        told = f"{benchmark.name}: its process has ended"
    finally:
        fork.kill()
        fork.join()
    if isinstance(told, str):
        raise LoadTestError(told)
    measured: dict[str, Any] = told
    return measured


def run(names: list[str], repeats: int) -> dict[str, Any]:
    """What is printed: where threadserve was found, and what was measured, or under "error" what went wrong."""
    package = threadserve.__file__
    try:
        measured = {each.name: measure_apart(each, repeats) for each in BENCHMARKS if each.name in names}
    except LoadTestError as error:
        return {"package": package, "error": str(error)}
    return {"package": package, "measured": measured}


def main() -> None:
    """Reads what to do from the command line: the number of a CPU, how many repeats, and names."""
    cpu, repeats, *names = sys.argv[1:]
    os.sched_setaffinity(0, {int(cpu)})
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    gc.collect()
    gc.freeze()
    print(json.dumps(run(names, int(repeats))))


if __name__ == "__main__":
    main()
