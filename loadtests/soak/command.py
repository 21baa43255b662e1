"""`python -m loadtests soak`: a soak with chaos, its verdict, and all of it as JSON."""

import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import click

from loadtests import machine
from loadtests.errors import INTERRUPTED, LoadTestError
from loadtests.generators import locust
from loadtests.results import replace_text
from loadtests.servers import interpreters
from loadtests.servers.interpreters import INTERPRETER, ROOT
from loadtests.soak.conducting import soak as conduct
from loadtests.soak.verdict import Plan

# What the server's interpreter needs.
REQUIRED = ("click", "h11", "starlette", "uvloop", "wsproto")
INTERVAL = click.FloatRange(0, 86_400)


@click.command(name="soak")
@click.option("--minutes", type=click.FloatRange(0.05, 10_000), default=10, show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Processes of the server.")
@click.option("--threads", type=click.IntRange(1, 64), default=2, show_default=True, help="Event loops of each.")
@click.option("--users", type=click.IntRange(1, 1000), default=12, show_default=True, help="Of each sort.")
@click.option("--hup-every", type=INTERVAL, default=60, show_default=True, help="Seconds between SIGHUPs; 0: none.")
@click.option("--die-every", type=INTERVAL, default=20, show_default=True, help="Seconds between deaths of threads.")
@click.option("--kill-every", type=INTERVAL, default=45, show_default=True, help="Seconds between kills of workers.")
@click.option("--server-python", type=INTERPRETER, default=Path(sys.executable), help="Interpreter of the server.")
@click.option("--output", type=click.Path(path_type=Path), help="JSON.  [default: build/loadtests/soak-DATE.json]")
def soak(server_python: Path, output: Path | None, **options: Any) -> int:
    """Serves a mixed load while clients vanish, stall and reset, threads die, workers are killed and replaced.

    The exit code is 0 if every error is explained and nothing grows, 1 if not, 2 if nothing can be measured, 130 after
    SIGINT or SIGTERM.
    """
    plan = Plan(**options)
    interpreter = interpreters.usable(server_python.absolute())
    if missing := interpreter.missing(REQUIRED):
        raise LoadTestError(missing)
    told = machine.facts() | {"interpreter": interpreter.facts(), "locust": locust.version()}
    output = output or ROOT / f"build/loadtests/soak-{told['date'].replace(':', '')}.json"
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        seen = conduct(plan, interpreter, Path(folder), partial(click.echo, err=True))
    findings = seen.judge()
    replace_text(output, json.dumps({**told, "findings": findings, **vars(seen)}, indent=1, default=vars) + "\n")
    click.echo(seen.table(findings))
    click.echo(f"Everything is in {output}", err=True)
    if seen.was_interrupted:
        return INTERRUPTED
    return 1 if findings else 0
