"""Runs a load generator or client to its end, as a process of its own."""

import subprocess
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from loadtests.errors import LoadTestError
from loadtests.process_groups import process_group
from loadtests.servers.usage import Monitor

# What a generator may take beyond the time for which it was told to run: Locust takes seconds to start.
PATIENCE_SECONDS = 120.0


def run(
    command: Sequence[str],
    seconds: float,
    *,
    name: str = "",
    folder: Path | None = None,
    variables: dict[str, str] | None = None,
    monitored: bool = False,
) -> tuple[str, Monitor | None]:
    """Run a generator that takes that long; return what it printed, and what it used where that is `monitored`.

    `folder` is its working directory and `variables` its environment. Raises LoadTestError where it fails or does not
    end; its `name` stands in the message.
    """
    name = name or command[0]
    pipe = subprocess.PIPE
    try:
        with (
            process_group() as group,
            subprocess.Popen(
                command, cwd=folder, env=variables, stdout=pipe, stderr=pipe, text=True, process_group=group
            ) as process,
        ):
            try:
                with Monitor(process.pid) if monitored else nullcontext() as monitor:
                    stdout, stderr = process.communicate(timeout=seconds + PATIENCE_SECONDS)
            finally:
                process.kill()
    except FileNotFoundError:
        raise LoadTestError(f"{name} is not installed") from None
    except subprocess.TimeoutExpired:
        raise LoadTestError(f"{name} did not end within {seconds + PATIENCE_SECONDS:.0f} seconds") from None
    if process.returncode:
        said = (stderr.strip() or stdout.strip()).splitlines()[-1:]
        raise LoadTestError(f"{name} failed: {''.join(said) or process.returncode}")
    return stdout, monitor


def version(command: Sequence[str], package: str) -> str:
    """Return the first line that a generator prints of itself; raises LoadTestError where it is not installed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        raise LoadTestError(f"{command[0]} is not installed (Debian's package {package})") from None
    return (done.stdout or done.stderr).splitlines()[0]
