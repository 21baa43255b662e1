"""Runs a client of this folder as a process of its own, so that it shares no interpreter with anything else."""

import json
import sys
from typing import Any

from loadtests.generators import process
from loadtests.servers.interpreters import ROOT


def command(name: str, **arguments: Any) -> list[str]:
    """Return the command line of the client of this name, whose `measure` gets the arguments."""
    return [sys.executable, "-m", "loadtests.clients", name, json.dumps(arguments)]


def run(name: str, lasting: float = 0.0, /, **arguments: Any) -> dict[str, Any]:
    """Run the client, which takes so many seconds; return its result.

    Raises LoadTestError where it fails or does not end.
    """
    output, _ = process.run(command(name, **arguments), lasting, name=f"the {name} client", folder=ROOT)
    told: dict[str, Any] = json.loads(output)
    return told
