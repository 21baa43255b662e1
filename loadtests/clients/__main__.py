"""`python -m loadtests.clients NAME ARGUMENTS`: runs one client, with its arguments as JSON, and prints its result."""

import json
import sys
from importlib import import_module


def main(name: str, arguments: str) -> None:
    """Call `measure` of the client's module, and print what it returns as JSON."""
    told = import_module(f"loadtests.clients.{name}").measure(**json.loads(arguments))
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
