"""Runs a client of this folder as a process of its own, so that it shares no interpreter with anything else.

There this is the main module: `python -m loadtests.clients.process NAME ARGUMENTS`, with the arguments as JSON.
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


def run(name: str, lasting: float, arguments: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Run the client, whose `measure` takes so many seconds; return its result and the command line.

    Raises LoadTestError where it fails or does not end.
    """
    line = [sys.executable, "-m", "loadtests.clients.process", name, json.dumps(arguments)]
    return json.loads(process.run(line, lasting, name=f"the {name} client", folder=ROOT)), line


def measure(name: str, lasting: float, /, **arguments: Any) -> LoadResult:
    """Run a client that puts load on a server, in the same way."""
    told, line = run(name, lasting, arguments)
    return LoadResult(command=line, **told)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        client = import_module(f"loadtests.clients.{sys.argv[1]}")
        print(json.dumps(runner.run(client.measure(**json.loads(sys.argv[2])))))
