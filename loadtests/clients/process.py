"""Runs a client of this folder as a process of its own, so that it shares no interpreter with anything else.

There this is the main module: `python -m loadtests.clients.process NAME ARGUMENTS`, with the arguments of the client's
`measure` as JSON.
"""

import asyncio
import json
import sys
from importlib import import_module
from typing import Any

import uvloop

from loadtests.generators import process
from loadtests.generators.result import LoadResult
from loadtests.servers.interpreters import ROOT

# No client takes longer.
SECONDS = 600.0


def run(name: str, /, **arguments: Any) -> dict[str, Any]:
    """Run the client of this name; return its result. Raises LoadTestError where it fails or does not end."""
    return dict(json.loads(process.run(command(name, arguments), SECONDS, name=f"the {name} client", folder=ROOT)))


def load(name: str, /, **arguments: Any) -> LoadResult:
    """Run a client that puts load on a server, in the same way."""
    return LoadResult(command=command(name, arguments), **run(name, **arguments))


def command(name: str, arguments: dict[str, Any]) -> list[str]:
    """Return the command line of a client."""
    return [sys.executable, "-m", "loadtests.clients.process", name, json.dumps(arguments, default=vars)]


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        client = import_module(f"loadtests.clients.{sys.argv[1]}")
        print(json.dumps(runner.run(client.measure(**json.loads(sys.argv[2])))))
