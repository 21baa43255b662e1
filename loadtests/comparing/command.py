"""`python -m loadtests compare`: measures servers beside each other, and writes the table of what came out."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from loadtests import machine
from loadtests import results as record
from loadtests.comparing import baseline
from loadtests.comparing.contestants import PEER_NAMES, lineup
from loadtests.comparing.scenarios import NAMES, SCENARIOS, Scenario, own
from loadtests.errors import require
from loadtests.generators import locust, wrk
from loadtests.harness.loads import one_path
from loadtests.harness.measurement import Effort, number, plan
from loadtests.harness.session import Session
from loadtests.results import Results, replace_text
from loadtests.servers.commands import Interface
from loadtests.servers.interpreters import INTERPRETER, ROOT, usable
from loadtests.table import markdown, table


def scenarios_of(
    names: tuple[str, ...], app: str | None, path: str | None, interface: Interface | None
) -> list[Scenario]:
    """Return what was asked for: one's own app, the scenarios named, or all; raises LoadTestError."""
    if app:
        require(not names, f"--app takes the place of scenarios: {', '.join(names)} cannot be given as well")
        return [own(app, path or "/", interface or "asgi")]
    require(not path and not interface, f"{'--path' if path else '--interface'} is for --app only")
    return [scenario for scenario in SCENARIOS if not names or scenario.name in names]


def generators_of(scenarios: list[Scenario]) -> dict[str, str]:
    """Return the versions of the load generators; raises LoadTestError where one is not installed."""
    has_wrk = shutil.which("wrk") is not None
    versions = {"wrk": wrk.version()} if has_wrk else {}
    needs_locust = not has_wrk or any(scenario.load is not one_path for scenario in scenarios)
    return versions | ({"locust": locust.version()} if needs_locust else {})


@click.command(name="compare", epilog=f"Scenarios: {', '.join(NAMES)}.")
@click.argument("scenario", nargs=-1, type=click.Choice(NAMES), metavar="[SCENARIO]...")
@click.option("--server-python", type=INTERPRETER, default=sys.executable, help="Runs threadserve.")
@click.option("--peer-python", type=INTERPRETER, default=sys.executable, help="Runs the peers.")
@click.option("--peer", type=click.Choice(PEER_NAMES), multiple=True, help="Only these peers; may be repeated.")
@click.option(
    "--threads",
    type=click.IntRange(1, 64),
    multiple=True,
    help="Of threadserve, and workers of its peers; may be repeated.  [default: one for each CPU]",
)
@number("--users", 1, 10_000, 100, "Of Locust.")
@number("--think-time", 0, 100, 1.0, "Multiplies the think times of Locust's users; 0 for none.")
@number("--connections", 2, 1000, 64, "Of wrk.")
@number("--rounds", 1, 50, 3, "Of all servers in turn.")
@number("--duration", 1, 600, 10, "Seconds measured.")
@number("--warm-up", 1, 60, 3, "Seconds before that.")
@click.option("--app", metavar="MODULE:ATTR", help="Your app, looked for in this folder, in place of a scenario.")
@click.option("--path", help="What it is asked again and again.  [default: /]")
@click.option("--interface", type=click.Choice(["asgi", "wsgi"]), help="Of your app.  [default: asgi]")
@click.option("--baseline", type=click.Path(path_type=Path), help="Earlier results.json: tell what became slower.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="[default: build/loadtests/DATE]")
def compare(**options: Any) -> int:
    """Measure servers beside each other: in all scenarios, or in those named.

    The exit code is 0 if something was measured, 2 if nothing could be, 130 after SIGINT or SIGTERM. What was measured
    until then is kept.
    """
    before = record.read(options["baseline"]) if options["baseline"] else None
    scenarios = scenarios_of(*(options[name] for name in ("scenario", "app", "path", "interface")))
    generators = generators_of(scenarios)
    ours, theirs = (usable(options[name].absolute()) for name in ("server_python", "peer_python"))
    threads = sorted(set(options["threads"] or [len(os.sched_getaffinity(0))]))
    entries, left_out = plan(lineup(scenarios, threads, ours, theirs, options["peer"] or PEER_NAMES))
    facts = machine.facts() | {
        "interpreters": {"server": ours.facts(), "peers": theirs.facts()},
        "load_generators": generators,
        "options": options,
    }
    results = Results(facts, {scenario.name: scenario.title for scenario in scenarios}, left_out)
    output = options["output"] or ROOT / "build/loadtests" / facts["date"].replace(":", "")
    path = output / "results.json"
    folder = ROOT if options["app"] is None else Path.cwd()
    code = Session(entries, Effort.of(options), results, path, folder=folder).run()
    text = markdown(results)
    replace_text(output / "table.md", text)
    click.echo(text)
    if before:
        click.echo(table(baseline.COLUMNS, baseline.changes(before, results)))
    click.echo(f"Everything is in {output}", err=True)
    return code
