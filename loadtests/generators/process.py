"""Runs a load generator to its end."""

import subprocess
from collections.abc import Sequence

from loadtests.errors import LoadTestError
from loadtests.process_groups import process_group

# What a generator may take beyond the time for which it was told to run: Locust takes seconds to start.
PATIENCE = 120.0


def run(command: Sequence[str], seconds: float) -> str:
    """Runs a generator that takes that long; returns what it printed. Raises LoadTestError where it fails."""
    name = command[0]
    try:
        with process_group() as group:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=seconds + PATIENCE, process_group=group
            )
    except FileNotFoundError:
        raise LoadTestError(f"{name} is not installed") from None
    except subprocess.TimeoutExpired:
        raise LoadTestError(f"{name} did not end within {seconds + PATIENCE:.0f} seconds") from None
    if done.returncode:
        raise LoadTestError(f"{name} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def version(command: Sequence[str], package: str) -> str:
    """The first line that a generator prints of itself; raises LoadTestError where it is not installed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        raise LoadTestError(f"{command[0]} is not installed (Debian's package {package})") from None
    return (done.stdout or done.stderr).splitlines()[0]
