"""Applications that hang or end the process: that is what the check reports then."""

import os
import signal
import subprocess
import sys
import sysconfig
from typing import Any

import pytest
from support.processes import has_ended
from support.waiting import DEADLINE, wait_until

from threadserve.check import run
from threadserve.check.findings import Finding, Level
from threadserve.check.run import check

BARE = "\nasync def app(scope, receive, send): assert scope['type'] == 'http'\n"
SHORT = 3.0

IN_LIFESPAN = """
import asyncio, os, time
from contextlib import asynccontextmanager

async def for_ever():
    await asyncio.Event().wait()

@asynccontextmanager
async def lifespan():
    {up}
    yield
    {down}

async def app(scope, receive, send):
    await receive()
    async with lifespan():
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
    await send({{"type": "lifespan.shutdown.complete"}})
"""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The inspected process may take long to start."""
    monkeypatch.setattr(run, "ANSWER_GRACE_SECONDS", 2 * DEADLINE)


def only(code: str, limit: float = SHORT) -> Finding:
    """The one finding of this kind that a check with a time limit has."""
    [found] = [finding for finding in check("main:app", {"threads": 2}, limit).findings if finding.code == code]
    assert found.level is Level.BREAK
    return found


@pytest.mark.parametrize(
    ("source", "line", "stage"),
    [
        ("import time\ntime.sleep(1000)\n", 2, "been loaded"),
        (IN_LIFESPAN.format(up="await for_ever()", down="pass"), 5, "started up"),
        (IN_LIFESPAN.format(up="time.sleep(1000)", down="pass"), 9, "started up"),
        (IN_LIFESPAN.format(up="pass", down="time.sleep(1000)"), 11, "shut down"),
    ],
    ids=["import", "awaits", "blocks", "shutdown"],
)
def test_what_hangs_is_told_with_its_line(project: Any, source: str, line: int, stage: str) -> None:
    file = project.write("main.py", source)
    found = only("hangs")
    assert found.message == f"Instance 1 of the application has not {stage} within 3 seconds."
    assert found.location == (str(file), line)


def test_what_keeps_the_gil_is_ended_all_the_same(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread of the process can say anything then, on a build that has the GIL."""
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("without the GIL other threads go on")
    monkeypatch.setattr(run, "ANSWER_GRACE_SECONDS", 10.0)
    project.write("main.py", "import ctypes\nctypes.PyDLL(None).sleep(1000)\n")
    found = only("hangs")
    assert found.message == "Instance 1 of the application has not been loaded within 3 seconds."
    assert found.location is None


@pytest.mark.parametrize(
    ("source", "ending"),
    [
        ("import os\nos._exit(7)\n", "the process ended with exit code 7"),
        ("import os\nos._exit(0)\n", "the process ended with exit code 0"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "the process was ended by SIGKILL"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "the process was ended by SIGSEGV"),
    ],
)
def test_the_end_of_the_process_is_told(project: Any, source: str, ending: str) -> None:
    project.write("main.py", source)
    found = only("crash", DEADLINE)
    assert found.message == f"Instance 1 of the application has not been loaded: {ending}."
    assert found.remedy


def test_what_was_found_before_the_end_is_told_as_well(project: Any) -> None:
    project.write("main.py", IN_LIFESPAN.format(up="pass", down="os._exit(1)") + "lock = asyncio.Lock()\n")
    codes = {finding.code for finding in check("main:app", {"threads": 2}).findings}
    assert {"crash", "loop-bound", "would-run"} <= codes


def test_threads_that_go_on_do_not_keep_the_check(project: Any) -> None:
    """With one thread Python would wait for the application's."""
    project.write("main.py", f"import threading\nthreading.Thread(target=threading.Event().wait).start()\n{BARE}")
    assert check("main:app", {"threads": 1}).is_ok


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_both_processes_end_together(project: Any, number: int, exit_code: int) -> None:
    """Whoever is tired of waiting for the application leaves nothing behind."""
    source = """
        import os, pathlib, time
        pathlib.Path("writing").write_text(str(os.getpid()))
        os.rename("writing", "pid")
        time.sleep(1000)
    """
    project.write("main.py", source)
    file = project.folder / "pid"
    command = [sys.executable, "-m", "threadserve", "--check", "main:app"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(file.exists, "the application to be loaded")
            os.kill(process.pid, number)
            assert process.wait(DEADLINE) == exit_code
        finally:
            process.kill()
    wait_until(lambda: has_ended(int(file.read_text())), "the process that looks to end")
