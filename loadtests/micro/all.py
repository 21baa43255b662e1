"""Every micro-benchmark, in the order of the table."""

from loadtests.micro import heads, http, log, mailbox, plain, websocket, wsgi
from loadtests.micro.benchmark import Benchmark

BENCHMARKS: tuple[Benchmark, ...] = (
    *plain.BENCHMARKS,
    *http.BENCHMARKS,
    *heads.BENCHMARKS,
    *log.BENCHMARKS,
    *wsgi.BENCHMARKS,
    *mailbox.BENCHMARKS,
    *websocket.BENCHMARKS,
)
TITLES = {benchmark.name: benchmark.title for benchmark in BENCHMARKS}
