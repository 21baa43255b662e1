"""Lines of the access log, as the thread that writes them makes them."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import StringIO

from loadtests.errors import LoadTestError
from loadtests.micro.benchmark import Benchmark, Repeat
from threadserve.logging import AccessFormatter, ConsoleHandler
from threadserve.logging.access_log import AccessEntry, access_logger, write_entries
from threadserve.logging.default_config import LOGGING_CONFIG

BATCH = 100
FORMAT = LOGGING_CONFIG["formatters"]["access"]["fmt"]
ENTRY: AccessEntry = ("127.0.0.1:40000", "GET", "/static/style.css?version=3", "1.1", 200)
LINE = 'INFO:     127.0.0.1:40000 - "GET /static/style.css?version=3 HTTP/1.1" 200 OK\n'


@asynccontextmanager
async def written() -> AsyncIterator[Repeat]:
    """The access log's logger with a console in memory."""
    entries = [ENTRY] * BATCH
    console = ConsoleHandler(shown := StringIO())
    console.setFormatter(AccessFormatter(FORMAT, use_colors=False))
    access_logger.addHandler(console)
    access_logger.setLevel(logging.INFO)
    try:
        write_entries(entries)
        if shown.getvalue() != LINE * BATCH:
            raise LoadTestError(f"the access log has {shown.getvalue()[: 2 * len(LINE)]!r}")

        async def repeat(operations: int) -> None:
            for _ in range(operations // BATCH):
                write_entries(entries)
                shown.seek(0)

        yield repeat
    finally:
        access_logger.removeHandler(console)


BENCHMARKS = (Benchmark("log-line", f"line of the access log, {BATCH} at a time", 10 * BATCH, written),)
