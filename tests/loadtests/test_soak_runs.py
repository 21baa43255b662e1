"""Soaks of a few seconds, from the command line to the file that they leave."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import psutil
import pytest
from support.waiting import wait_until

from loadtests.servers.interpreters import ROOT
from loadtests.soak.command import soak
from loadtests.soak.failures import RENEWAL, THREAD, WORKER

if find_spec("locust") is None:
    pytest.skip("locust is not installed: gevent has no free-threaded build", allow_module_level=True)

# A soak waits until the server is idle again, which takes a slow machine long.
pytestmark = pytest.mark.timeout(600)
DEADLINE = 240.0
SMALL = ("--workers", "1", "--threads", "1", "--users", "2")
# Each is due at least twice before the mischief ends, three seconds before the load does.
QUICKLY = ("--hup-every", "3", "--die-every", "3", "--kill-every", "4", "--users", "6")


@contextmanager
def soaking(output: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A soak, which does not outlive the block. It tells how it goes on in the file `stderr` beside the output."""
    line = [sys.executable, "-m", "loadtests", "soak", "--output", str(output), *options]
    with (
        output.with_name("stderr").open("w") as stderr,
        subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def finish(process: subprocess.Popen[str], output: Path) -> tuple[str, dict[str, Any]]:
    """Waits for the end; returns what was printed, and what was written."""
    stdout, _ = process.communicate(timeout=DEADLINE)
    assert output.exists(), output.with_name("stderr").read_text()
    written: dict[str, Any] = json.loads(output.read_text())
    return stdout, written


def test_a_server_survives_mischief(tmp_path: Path) -> None:
    """Whether it is flat cannot be told after so short a time; everything else can."""
    output = tmp_path / "soak.json"
    with soaking(output, "--minutes", "0.2", *QUICKLY) as process:
        stdout, written = finish(process, output)
    assert written["unexplained"] == []
    assert written["problems"] == []
    assert {event["kind"] for event in written["events"]} == {THREAD, WORKER, RENEWAL}
    threads = [event for event in written["events"] if event["kind"] == THREAD]
    assert written["answered"]["/"] > 0
    assert sum(count for name, count in written["answered"].items() if name.startswith("chaos: ")) > 0
    assert process.returncode == (1 if written["findings"] else 0)
    assert f"deaths: {len(threads)} threads" in stdout
    assert RENEWAL in (tmp_path / "stderr").read_text()


def test_an_interrupted_soak_keeps_what_it_has_seen(tmp_path: Path) -> None:
    output = tmp_path / "soak.json"
    with soaking(output, "--minutes", "5", "--die-every", "1", *SMALL) as process:
        log = tmp_path / "stderr"
        wait_until(lambda: process.poll() or "was made to die" in log.read_text(), "the first death", DEADLINE)
        process.send_signal(signal.SIGINT)
        stdout, written = finish(process, output)
    assert process.returncode == 130
    assert written["was_interrupted"]
    assert written["unexplained"] == []
    assert "interrupted" in stdout


def test_a_server_that_ends_is_a_finding(tmp_path: Path) -> None:
    output = tmp_path / "soak.json"
    with soaking(output, "--minutes", "5", *SMALL) as process:
        children = psutil.Process(process.pid).children
        wait_until(lambda: process.poll() or len(children()) >= 3, "the server and its clients", DEADLINE)
        next(child for child in children() if "threadserve" in child.cmdline()).kill()
        stdout, written = finish(process, output)
    assert process.returncode == 1
    assert "the server ended while it was under load" in written["findings"]
    assert "FINDING: the server ended" in stdout


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--minutes", "0"), "0 is not in the range"),
        (("--workers", "0"), "0 is not in the range"),
        (("--server-python", "nowhere"), "'nowhere' does not exist"),
    ],
)
def test_bad_options(tmp_path: Path, options: tuple[str, ...], complaint: str) -> None:
    output = tmp_path / "soak.json"
    with pytest.raises(click.ClickException, match=complaint) as raised:
        soak.main(["--output", str(output), *options], standalone_mode=False)
    assert raised.value.exit_code == 2
    assert not output.exists()
