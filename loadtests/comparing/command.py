"""`python -m loadtests compare`: measures servers beside each other, and writes what came out for people to look at."""

import os
import sys
from pathlib import Path
from typing import Any, get_args

import click

from loadtests.comparing import baseline
from loadtests.comparing.contestants import PEER_NAMES, Lineup
from loadtests.comparing.scenarios import NAMES, SCENARIOS, Scenario, own
from loadtests.errors import LoadTestError
from loadtests.harness.loads import ONE_PATH, VERSIONS, generator_for
from loadtests.harness.measurement import Generator, plan
from loadtests.harness.session import Session, effort_of, effort_options, facts, number
from loadtests.reports import writing
from loadtests.reports.sections import markdown
from loadtests.results import record
from loadtests.results.record import Results
from loadtests.servers.commands import Interface
from loadtests.servers.interpreters import INTERPRETER, ROOT, usable

RESULTS = "results.json"
# One of them is enough for several servers in Python.
GENERATOR_THREADS = 2
# Peers that claim to support free-threaded Python.
FREE_THREADED_PEERS = ("granian", "h2corn", "gunicorn")


def scenarios_of(
    names: tuple[str, ...], app: str | None, path: str | None, interface: Interface | None, load: str
) -> list[Scenario]:
    """Return what was asked for: one's own app, the scenarios named, or all that the generator can do.

    Raises LoadTestError where these do not go together.
    """
    if app is not None:
        if names:
            raise LoadTestError(f"--app takes the place of scenarios: {', '.join(names)} cannot be given as well")
        return [own(app, path or "/", interface or "asgi")]
    if path is not None or interface is not None:
        raise LoadTestError(f"{'--path' if path is not None else '--interface'} is for --app only")
    if names:
        return [scenario for scenario in SCENARIOS if scenario.name in names]
    return [scenario for scenario in SCENARIOS if scenario.user == ONE_PATH or load in ("auto", "locust")]


def lineup_of(options: dict[str, Any]) -> Lineup:
    """Return who takes part, on which interpreters; raises LoadTestError where one of them cannot be used."""
    here = Path(sys.executable)
    ours, theirs = ((options[name] or here).absolute() for name in ("server_python", "peer_python"))
    server_python = usable(ours)
    peer_python = server_python if theirs == ours else usable(theirs)
    extra = options["free_threaded_peer"]
    if extra and not server_python.free_threaded:
        raise LoadTestError(
            f"--free-threaded-peer is for a free-threaded --server-python, which {server_python.path} is not"
        )
    peers = options["peer"] or PEER_NAMES
    ready = [name for name in FREE_THREADED_PEERS if name in peers and name in server_python.packages]
    return Lineup(server_python, peer_python, peers, extra or ready)


def prepare(options: dict[str, Any]) -> Session:
    """Plan the comparison; raises LoadTestError where something is missing that it cannot be made without."""
    named = (options[name] for name in ("scenario", "app", "path", "interface", "load"))
    scenarios = scenarios_of(*named)
    generator: Generator | None = None if options["load"] == "auto" else options["load"]
    used = {generator_for(scenario.user, scenario.name, generator) for scenario in scenarios}
    lineup = lineup_of(options)
    threads = options["threads"] or [len(os.sched_getaffinity(0))]
    entries, left_out = plan(lineup.entries(scenarios, threads))
    if entries:
        writing.require()
    told = facts(
        options,
        interpreters=lineup.interpreters,
        load_generators={name: VERSIONS[name]() for name in sorted(used)},
    )
    effort = effort_of(options, generator=generator, threads=GENERATOR_THREADS)
    output = options["output"] or ROOT / "build/loadtests" / told["date"].replace(":", "")
    titles = {scenario.name: scenario.title for scenario in scenarios}
    folder = ROOT if options["app"] is None else Path.cwd()
    return Session(entries, effort, Results(told, titles, left_out), output / RESULTS, folder=folder)


def publish(results: Results, folder: Path) -> None:
    """Write the reports, print the table and say where everything is."""
    paths = [folder / RESULTS, *writing.write(results, folder)]
    click.echo(markdown(results))
    for path in paths:
        click.echo(f"Written: {path}", err=True)


@click.command(name="compare", epilog=f"Scenarios: {', '.join(NAMES)}.")
@click.argument("scenario", nargs=-1, type=click.Choice(NAMES), metavar="[SCENARIO]...")
@click.option("--server-python", type=INTERPRETER, help="Runs threadserve.  [default: this interpreter]")
@click.option("--peer-python", type=INTERPRETER, help="Runs the peers.  [default: this interpreter]")
@click.option("--peer", type=click.Choice(PEER_NAMES), multiple=True, help="Only these peers; may be repeated.")
@click.option(
    "--free-threaded-peer",
    type=click.Choice(PEER_NAMES),
    multiple=True,
    help="Peers that run on a free-threaded --server-python as well.  [default: those that claim to, if installed]",
)
@click.option(
    "--load",
    type=click.Choice(["auto", *get_args(Generator)]),
    default="auto",
    show_default=True,
    help="The load generator; auto is Locust, and wrk or h2load for what is asked without pauses.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 64),
    multiple=True,
    help="Of threadserve, and workers of its peers; may be repeated.  [default: one for each CPU]",
)
@number("--users", 1, 10_000, 100, "Of Locust.")
@number("--think-time", 0, 100, 1.0, "Multiplies the think times of Locust's users; 0 for none.")
@number("--connections", 1, 1000, 64, "Of wrk and h2load.")
@effort_options(rounds=3, duration=10, warm_up=3, longest=600)
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
    earlier = options["baseline"]
    before = None if earlier is None else record.read(earlier)
    session = prepare(options)
    code = session.run()
    if session.results.samples:
        publish(session.results, session.path.parent)
        if before is not None:
            click.echo(baseline.report(before, session.results, str(earlier)))
    return code
