"""Programs of other makers, which are tested against: each with a deadline, and left out where it is not installed."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.waiting import DEADLINE


def needs_program(name: str) -> pytest.MarkDecorator:
    """Skips a test where there is no such program."""
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed")


def run_program(*command: str | Path, cwd: Path | None = None, deadline: float = 2 * DEADLINE) -> str:
    """Runs a program to its end; returns its stdout. Raises AssertionError with its stderr where it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=deadline, check=False)
    assert done.returncode == 0, f"{command} failed with {done.returncode}:\n{done.stderr}\n{done.stdout[-2000:]}"
    return done.stdout


@contextmanager
def running_program(
    command: Sequence[str | Path], log: Path, pass_fds: Sequence[int] = ()
) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs a program, which writes its output into the file `log`, and kills it in the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, pass_fds=pass_fds
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(DEADLINE)
