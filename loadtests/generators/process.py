"""Runs a load generator, client or other tool to its end, as a process of its own."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from loadtests.errors import LoadTestError
from loadtests.process_groups import process_group

# What one may take beyond the time for which it was told to run: Locust takes seconds to start.
PATIENCE_SECONDS = 120.0


def run(
    command: Sequence[str],
    seconds: float,
    *,
    name: str = "",
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> str:
    """Run a command that takes that long, in a working directory and an environment; return what it printed.

    Raises LoadTestError where it fails or does not end; its `name` stands in the message.
    """
    name = name or command[0]
    patience = seconds + PATIENCE_SECONDS
    try:
        with process_group() as group:
            done = subprocess.run(
                command,
                cwd=folder,
                env=variables,
                process_group=group,
                timeout=patience,
                capture_output=True,
                text=True,
            )
    except FileNotFoundError:
        raise LoadTestError(f"{name} is not installed") from None
    except subprocess.TimeoutExpired:
        raise LoadTestError(f"{name} did not end within {patience:.0f} seconds") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise LoadTestError(f"{name} failed: {''.join(said) or done.returncode}")
    return done.stdout
