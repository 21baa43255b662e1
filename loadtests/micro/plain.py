"""Pure Python that nobody changes: how quick the machine and the interpreter are, for comparison with the others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from loadtests.apps.cpu_bound import work
from loadtests.micro.benchmark import Benchmark, Repeat, repeated

REFERENCE = "reference"
TURNS = 1000


@asynccontextmanager
async def prepare() -> AsyncIterator[Repeat]:
    yield repeated(partial(work, TURNS))


BENCHMARKS = (Benchmark(REFERENCE, f"{TURNS} turns of a loop in pure Python", 12, prepare),)
