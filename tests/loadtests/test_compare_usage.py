"""What the processes of a server use, and what makes a sample doubtful."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.waiting import wait_until

from loadtests.comparing.rounds import problems_of, usage_of
from loadtests.errors import LoadTestError
from loadtests.generators.result import LoadResult
from loadtests.servers.processes import Running
from loadtests.servers.usage import Monitor, Reading, read

# Has a child that works for a while and then waits for a line; says when the child is done, and when it has ended.
CHILD = "import time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\ninput()"
PARENT = (
    f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}]); print('ended', flush=True); input()"
)
MEMORY = {"PSS MB": 10.0, "USS MB": 9.0, "RSS MB": 12.0}


def reading(at: float, cpu: float, threads: int = 1, processes: int = 1, factor: float = 1) -> Reading:
    return Reading(at, cpu, threads, processes, {name: value * factor for name, value in MEMORY.items()})


def load(began: float = 100.0, seconds: float = 2.0, cpu_share: float = 0.0) -> LoadResult:
    return LoadResult(["wrk"], 10, seconds, {"50": 1.0}, began=began, cpu_share=cpu_share)


def test_the_cpu_time_of_a_child_that_has_ended_is_counted() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "done\n"
            both = read(process.pid)
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "ended\n"
            alone = read(process.pid)
        finally:
            process.kill()
    assert (both.processes, alone.processes) == (2, 1)
    assert min(alone.cpu_seconds, both.cpu_seconds) >= 0.25


def test_a_monitor_outlives_its_process() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with process, Monitor(process.pid) as monitor:
        wait_until(lambda: monitor.readings, "a first reading")
        process.communicate(b"\n")
    assert all(reading.threads >= 1 for reading in monitor.readings)


def test_usage_is_of_the_time_that_was_measured() -> None:
    """CPU time is taken in proportion where a reading is before the measured time, and one is after it."""
    monitor = Monitor(
        1,
        [
            reading(99.0, 1.0, threads=9, processes=9),
            reading(100.5, 2.5, threads=4, processes=2),
            reading(101.5, 4.5, threads=3, processes=3, factor=2),
            reading(103.0, 6.0, threads=9, processes=9, factor=3),
        ],
    )
    usage = usage_of(monitor, load())
    assert usage.cpu_seconds == pytest.approx(5.0 - 2.0)
    assert (usage.threads, usage.processes) == (4, 3)
    assert (usage.pss_mb, usage.uss_mb, usage.rss_mb) == (20.0, 18.0, 24.0)


def test_beyond_the_readings_nothing_is_made_up() -> None:
    monitor = Monitor(1, [reading(100.5, 2.5), reading(101.5, 4.5)])
    assert monitor.cpu_seconds(100.0, 102.0) == 2.0
    assert monitor.between(200.0, 201.0) == [reading(101.5, 4.5)]


def test_no_readings_are_an_error() -> None:
    with pytest.raises(LoadTestError, match="the server's processes could not be read"):
        usage_of(Monitor(1), load(began=time.time()))


def running(folder: Path, log: str = "", stopped_by: str = "SIGTERM") -> Running:
    path = folder / "stderr"
    path.write_text(log)
    return Running(1, 80, ["python"], path, path, stopped_by=stopped_by)


def test_a_clean_sample_has_no_problems(tmp_path: Path) -> None:
    assert problems_of(load(cpu_share=0.9), running(tmp_path)) == []


def test_a_busy_generator_a_gil_and_a_server_that_had_to_be_killed_are_problems(tmp_path: Path) -> None:
    warning = "RuntimeWarning: The global interpreter lock (GIL) has been enabled to load module 'fast'"
    assert problems_of(load(cpu_share=0.97), running(tmp_path, warning, "SIGKILL")) == [
        "Locust used 97% of a CPU and was the bottleneck: fewer --users would do",
        "something that the server imports turned the GIL on",
        "the server did not stop and was killed",
    ]
