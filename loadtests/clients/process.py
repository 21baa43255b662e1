"""Runs a client of this folder as a process of its own, so that it shares no interpreter with anything else."""

import json
import subprocess
import sys
from typing import Any

from loadtests.errors import LoadTestError
from loadtests.process_groups import process_group
from loadtests.servers.interpreters import ROOT

# What a client may take beyond the time that it measures.
PATIENCE = 120.0


def run(name: str, *arguments: float, seconds: float = 0.0) -> dict[str, Any]:
    """Runs `python -m loadtests.clients.NAME ARGUMENTS`, which measures for so many seconds; returns what it printed.

    Raises LoadTestError where it fails or does not end.
    """
    line = [sys.executable, "-m", f"loadtests.clients.{name}", *map(str, arguments)]
    try:
        with process_group() as group:
            done = subprocess.run(
                line, capture_output=True, text=True, timeout=seconds + PATIENCE, cwd=ROOT, process_group=group
            )
    except subprocess.TimeoutExpired:
        raise LoadTestError(f"the {name} client did not end") from None
    if done.returncode:
        raise LoadTestError(f"the {name} client failed: {''.join(done.stderr.splitlines()[-1:])}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result
