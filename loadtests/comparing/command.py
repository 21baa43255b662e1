"""`python -m loadtests compare`: measures servers beside each other, and writes what came out for people to look at."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click

from loadtests import machine, reports
from loadtests.comparing import baseline
from loadtests.comparing.contestants import PEER_NAMES
from loadtests.comparing.driving import VERSIONS, Effort, Generator, generator_for
from loadtests.comparing.planning import Case, Lineup, plan
from loadtests.comparing.rounds import Course
from loadtests.comparing.scenarios import NAMES, SCENARIOS, Scenario, own
from loadtests.errors import INTERRUPTED, LoadTestError
from loadtests.progress import progress
from loadtests.reports import markdown
from loadtests.results import storage
from loadtests.results.comparison import Results
from loadtests.servers.commands import Interface
from loadtests.servers.interpreters import INTERPRETER, ROOT, usable

RESULTS = "results.json"
# Seconds that a sample takes beyond its load.
START_AND_STOP = 3
# Peers that claim to support free-threaded Python.
FREE_THREADED_PEERS = ("granian", "h2corn", "gunicorn")


@dataclass(frozen=True)
class Given:
    """The command's arguments and options."""

    scenario: tuple[str, ...]
    server_python: Path | None
    peer_python: Path | None
    peer: tuple[str, ...]
    free_threaded_peer: tuple[str, ...]
    load: Literal["auto", "locust", "wrk", "h2load"]
    threads: tuple[int, ...]
    users: int
    think_time: float
    connections: int
    rounds: int
    duration: int
    warm_up: int
    app: str | None
    path: str | None
    interface: Interface | None
    baseline: Path | None
    output: Path | None

    @property
    def generator(self) -> Generator | None:
        """The one that was asked for; None where the scenario chooses."""
        return None if self.load == "auto" else self.load


@dataclass(frozen=True)
class Prepared:
    """What is going to be measured, and how."""

    cases: list[Case]
    effort: Effort
    results: Results
    working_directory: Path


def scenarios_of(given: Given) -> list[Scenario]:
    """What was asked for: one's own app, the scenarios named, or all that the generator can do."""
    if given.app is not None:
        if given.scenario:
            raise LoadTestError(
                f"--app takes the place of scenarios: {', '.join(given.scenario)} cannot be given as well"
            )
        return [own(given.app, given.path or "/", given.interface or "asgi")]
    if given.path is not None or given.interface is not None:
        raise LoadTestError(f"{'--path' if given.path is not None else '--interface'} is for --app only")
    if given.scenario:
        return [scenario for scenario in SCENARIOS if scenario.name in given.scenario]
    return [scenario for scenario in SCENARIOS if scenario.is_ceiling or given.load in ("auto", "locust")]


def lineup_of(given: Given) -> Lineup:
    """Who takes part, on which interpreters; raises LoadTestError where one of them cannot be used."""
    here = Path(sys.executable)
    ours, theirs = ((path or here).absolute() for path in (given.server_python, given.peer_python))
    server_python = usable(ours)
    peer_python = server_python if theirs == ours else usable(theirs)
    if given.free_threaded_peer and not server_python.free_threaded:
        raise LoadTestError(
            f"--free-threaded-peer is for a free-threaded --server-python, which {server_python.path} is not"
        )
    peers = given.peer or PEER_NAMES
    ready = [name for name in FREE_THREADED_PEERS if name in peers and name in server_python.packages]
    return Lineup(server_python, peer_python, peers, given.free_threaded_peer or ready)


def prepare(given: Given) -> Prepared:
    """Plans the comparison; raises LoadTestError where something is missing that it cannot be made without."""
    scenarios = scenarios_of(given)
    effort = Effort(
        given.rounds,
        given.duration,
        given.warm_up,
        given.users,
        given.think_time,
        given.connections,
        given.generator,
    )
    generators = {generator_for(scenario, given.generator) for scenario in scenarios}
    lineup = lineup_of(given)
    cases, left_out = plan(scenarios, lineup, given.threads or [len(os.sched_getaffinity(0))])
    if not cases:
        raise LoadTestError(f"nothing can be measured: {'; '.join(left_out)}")
    reports.require()
    versions = {name: VERSIONS[name]() for name in sorted(generators)}
    told = {
        **machine.facts(),
        "interpreters": lineup.interpreters,
        "load_generators": versions,
        "options": {name: as_json(value) for name, value in vars(given).items()},
    }
    titles = {scenario.name: scenario.title for scenario in scenarios}
    working_directory = ROOT if given.app is None else Path.cwd()
    return Prepared(cases, effort, Results(told, titles, left_out), working_directory)


def as_json(value: Any) -> Any:
    """An option's value: paths become text, tuples lists."""
    if isinstance(value, tuple):
        return [as_json(part) for part in value]
    return value if isinstance(value, int | float | str | None) else str(value)


def begin(folder: Path, results: Results) -> None:
    """Writes the results before there are any; raises LoadTestError where that cannot be done."""
    try:
        storage.write(folder / RESULTS, results)
    except OSError as error:
        raise LoadTestError(f"--output {folder}: {error.strerror}") from None


def measure(prepared: Prepared, folder: Path) -> int:
    """Measures all cases, writing the results anew after each sample; returns the exit code."""
    results, effort = prepared.results, prepared.effort
    total = len(prepared.cases) * effort.rounds
    minutes = total * (effort.warm_up_seconds + effort.seconds + START_AND_STOP) / 60
    estimate = f"{total} samples will take about {minutes:.0f} minutes"
    for line in (*machine.doubts(results.facts), *results.left_out, estimate):
        click.echo(f"Note: {line}", err=True)
    begin(folder, results)
    try:
        with progress(total) as report:

            def written(line: str, done: int) -> None:
                storage.write(folder / RESULTS, results)
                report(line, done)

            Course(effort, results, written, prepared.working_directory).run(prepared.cases)
    except KeyboardInterrupt:
        results.left_out.append(f"interrupted: {len(results.samples)} of {total} samples were measured")
        storage.write(folder / RESULTS, results)
        return INTERRUPTED
    return 0


def publish(results: Results, folder: Path) -> None:
    """Writes the reports, prints the table and says where everything is."""
    paths = [folder / RESULTS, *reports.write(results, folder)]
    click.echo(markdown.table(results))
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
    type=click.Choice(["auto", "locust", "wrk", "h2load"]),
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
@click.option("--users", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Of Locust.")
@click.option(
    "--think-time",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    help="Multiplies the think times of Locust's users; 0 for none.",
)
@click.option("--connections", type=click.IntRange(1, 1000), default=64, show_default=True, help="Of wrk and h2load.")
@click.option("--rounds", type=click.IntRange(1, 50), default=3, show_default=True, help="Of all servers in turn.")
@click.option("--duration", type=click.IntRange(1, 600), default=10, show_default=True, help="Seconds measured.")
@click.option("--warm-up", type=click.IntRange(1, 60), default=3, show_default=True, help="Seconds before that.")
@click.option("--app", metavar="MODULE:ATTR", help="Your app, looked for in this folder, in place of a scenario.")
@click.option("--path", help="What it is asked again and again.  [default: /]")
@click.option("--interface", type=click.Choice(["asgi", "wsgi"]), help="Of your app.  [default: asgi]")
@click.option("--baseline", type=click.Path(path_type=Path), help="Earlier results.json: tell what became slower.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="[default: build/loadtests/DATE]")
def compare(**options: Any) -> int:
    """Measures servers beside each other: in all scenarios, or in those named.

    The exit code is 0 if something was measured, 2 if nothing could be, 130 after SIGINT or SIGTERM. What was measured
    until then is kept.
    """
    given = Given(**options)
    before = None if given.baseline is None else storage.read(given.baseline)
    prepared = prepare(given)
    results = prepared.results
    folder = given.output or ROOT / "build/loadtests" / results.facts["date"].replace(":", "")
    code = measure(prepared, folder)
    if results.samples:
        publish(results, folder)
        if before is not None:
            click.echo(baseline.report(before, results, str(given.baseline)))
    elif not code:
        raise LoadTestError(f"nothing could be measured; {folder / RESULTS} says why")
    return code
