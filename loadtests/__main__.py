"""`python -m loadtests [FIGURE...]`: measures the figures, prints the table of results and writes all of it as JSON."""

import argparse
import signal
import sys
from pathlib import Path
from typing import Any

from loadtests import facts, rounds, wrk
from loadtests.clients import idle
from loadtests.errors import LoadTestError
from loadtests.figures import FIGURES
from loadtests.interpreters import ROOT, find
from loadtests.measuring import Effort
from loadtests.planning import needs, outcomes_of
from loadtests.report import Outcome, Sample, all_reached, markdown, short, write_json

INTERRUPTED = 130


def bounded(least: int, most: int) -> Any:
    """A type for argparse: a whole number within these bounds."""

    def parse(text: str) -> int:
        number = int(text)
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{number} is not from {least} to {most}")
        return number

    return parse


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests", description="Measures threadserve against its peers.")
    names = [figure.name for figure in FIGURES]
    parser.add_argument("figure", nargs="*", help=f"default: all of {', '.join(names)}")
    parser.add_argument("--ordinary-python", metavar="PATH", help="CPython 3.13 (default: build/loadtests/3.13)")
    parser.add_argument("--free-threaded-python", metavar="PATH", help="3.13t (default: build/loadtests/3.13t)")
    parser.add_argument("--rounds", type=bounded(1, 50), default=5, help="of all servers in turn (default: 5)")
    parser.add_argument("--duration", type=bounded(1, 60), default=5, help="seconds of each measurement (default: 5)")
    parser.add_argument("--warm-up", type=bounded(1, 60), default=2, help="seconds before it (default: 2)")
    parser.add_argument("--threads", type=bounded(1, 16), default=2, help="of wrk (default: 2)")
    parser.add_argument("--connections", type=bounded(1, 1000), default=64, help="of wrk (default: 64)")
    parser.add_argument(
        "--idle-connections", type=bounded(10, 10_000), default=2000, help="of each kind in ws-idle (default: 2000)"
    )
    parser.add_argument("--output", type=Path, help="the JSON file (default: build/loadtests/DATE.json)")
    given = parser.parse_args()
    unknown = sorted(set(given.figure) - set(names))
    if unknown:
        parser.error(f"no figure {', '.join(unknown)}; there are {', '.join(names)}")
    if given.connections < given.threads:
        parser.error("wrk needs a connection for each of its threads")
    return given


def prepare(given: argparse.Namespace) -> tuple[list[Outcome], rounds.Bench]:
    """The figures asked for and what measures them; raises LoadTestError where something is missing."""
    figures = [figure for figure in FIGURES if not given.figure or figure.name in given.figure]
    builds = {server.build for figure in figures for server in figure.servers}
    paths = {"ordinary": given.ordinary_python, "free-threaded": given.free_threaded_python}
    found = {build: find(build, paths[build]) for build in sorted(builds)}
    outcomes = outcomes_of(figures, found)
    kept = [outcome.figure for outcome in outcomes]
    interpreters = {build: interpreter.with_only(needs(kept, build)) for build, interpreter in found.items()}
    if any(figure.measure == "idle" for figure in kept):
        idle.allow_files(given.idle_connections)
    load = wrk.Load(given.threads, given.connections)
    effort = Effort(given.rounds, given.duration, given.warm_up, load, given.idle_connections)
    calibrated = interpreters.get("free-threaded") or interpreters["ordinary"]
    return outcomes, rounds.Bench(effort, interpreters, rounds.calibrate(calibrated))


def run(outcomes: list[Outcome], bench: rounds.Bench, output: Path, told: dict[str, Any]) -> int:
    """Measures one figure after the other; returns the exit code. What was measured is kept when it is interrupted."""
    code = 0
    try:
        for outcome in outcomes:
            print(f"== {outcome.figure.name}: {outcome.figure.title}", file=sys.stderr)

            def progress(sample: Sample) -> None:
                values = ", ".join(f"{short(number)} {name}" for name, number in sample.values.items())
                print("; ".join([f"{sample.round} {sample.server}: {values}", *sample.problems]), file=sys.stderr)
                write_json(output, told, outcomes)

            rounds.measure(bench, outcome, progress)
    except KeyboardInterrupt:
        code = INTERRUPTED
    write_json(output, told, outcomes)
    begun = [outcome for outcome in outcomes if outcome.samples or outcome.failure]
    print(f"{facts.describe(told)}\n\n{markdown(begun)}")
    print(f"Everything is in {output}", file=sys.stderr)
    return code or (0 if all_reached(outcomes) else 1)


def main() -> int:
    """Exit code 0 if every target is reached, 1 if not, 2 if nothing can be measured, 130 after SIGINT or SIGTERM."""
    given = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        outcomes, bench = prepare(given)
        told = facts.collect(bench)
    except LoadTestError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    left_out = [f"{outcome.figure.name}: {line}" for outcome in outcomes for line in outcome.left_out]
    for line in (*facts.doubts(told, bench), *left_out):
        print(f"Note: {line}", file=sys.stderr)
    output = given.output or ROOT / f"build/loadtests/{told['date'].replace(':', '')}.json"
    return run(outcomes, bench, output, told)


if __name__ == "__main__":
    sys.exit(main())
