"""`python -m loadtests soak`: a soak with chaos, its verdict, and all of it as JSON."""

import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from loadtests import machine
from loadtests.errors import INTERRUPTED, LoadTestError
from loadtests.servers import interpreters
from loadtests.servers.interpreters import INTERPRETER, ROOT
from loadtests.soak.conducting import soak as conduct
from loadtests.soak.load import has_locust
from loadtests.soak.plan import Plan
from loadtests.soak.verdict import table, write_json

# What the server's interpreter needs.
REQUIRED = ("click", "h11", "starlette", "uvloop", "wsproto")
INTERVAL = click.FloatRange(0, 86_400)


@dataclass(frozen=True)
class Given:
    """The command's options."""

    minutes: float
    workers: int
    threads: int
    users: int
    hup_every: float
    die_every: float
    kill_every: float
    server_python: Path
    output: Path | None

    def plan(self) -> Plan:
        """Raises LoadTestError where the run is too short."""
        return Plan(
            seconds=self.minutes * 60,
            workers=self.workers,
            threads=self.threads,
            users=self.users,
            renew_every=self.hup_every,
            kill_thread_every=self.die_every,
            kill_worker_every=self.kill_every,
        )


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@click.command(name="soak")
@click.option("--minutes", type=click.FloatRange(0.05, 10_000), default=10, show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Processes of the server.")
@click.option("--threads", type=click.IntRange(1, 64), default=2, show_default=True, help="Event loops of each.")
@click.option("--users", type=click.IntRange(1, 1000), default=12, show_default=True, help="Of each load generator.")
@click.option("--hup-every", type=INTERVAL, default=60, show_default=True, help="Seconds between SIGHUPs; 0: none.")
@click.option("--die-every", type=INTERVAL, default=20, show_default=True, help="Seconds between deaths of threads.")
@click.option("--kill-every", type=INTERVAL, default=45, show_default=True, help="Seconds between kills of workers.")
@click.option("--server-python", type=INTERPRETER, default=Path(sys.executable), help="Interpreter of the server.")
@click.option("--output", type=click.Path(path_type=Path), help="JSON.  [default: build/loadtests/soak-DATE.json]")
def soak(**options: Any) -> int:
    """Serves a mixed load while clients vanish, stall and reset, threads die, workers are killed and replaced.

    The exit code is 0 if every error is explained and nothing grows, 1 if not, 2 if nothing can be measured, 130 after
    SIGINT or SIGTERM.
    """
    given = Given(**options)
    plan = given.plan()
    interpreter = interpreters.probe(given.server_python.absolute())
    if missing := interpreter.missing(REQUIRED):
        raise LoadTestError(missing)
    told = machine.facts() | {"interpreter": interpreter.facts(), "plan": asdict(plan), "locust": has_locust()}
    if not has_locust():
        say("Note: Locust is not installed for this interpreter; its users take no part")
    output = given.output or ROOT / f"build/loadtests/soak-{told['date'].replace(':', '')}.json"
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        verdict = conduct(plan, interpreter, Path(folder), say)
    write_json(output, told, verdict)
    print(table(verdict))
    say(f"Everything is in {output}")
    if verdict.was_interrupted:
        return INTERRUPTED
    return 1 if verdict.findings else 0
