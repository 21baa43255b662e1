"""When, where and with what was measured."""

from dataclasses import asdict
from typing import Any

from loadtests import machine
from loadtests.figures.rounds import Bench
from loadtests.generators import wrk


def collect(bench: Bench) -> dict[str, Any]:
    """When, where, with what and how it was measured."""
    return {
        **machine.facts(),
        "interpreters": {build: interpreter.facts() for build, interpreter in bench.interpreters.items()},
        "load_generator": wrk.version(),
        "effort": asdict(bench.effort),
        "cpu_turns": bench.cpu_turns,
    }


def doubts(told: dict[str, Any], bench: Bench) -> list[str]:
    """What makes the figures other ones than the table's, one line each."""
    lines = [line for interpreter in bench.interpreters.values() for line in interpreter.unexpected()]
    return lines + machine.doubts(told)


def describe(told: dict[str, Any]) -> str:
    """One paragraph of the facts, to stand above the table."""
    effort, machine = told["effort"], told["machine"]
    load = effort["load"]
    return (
        f"{told['date']}, commit {told['commit'] or 'unknown'}; {machine['cpus']} CPUs ({machine['cpu']}), "
        f"load generator on the same; {'; '.join(map(versions, told['interpreters'].values()))}; "
        f"{told['load_generator']} with {load['threads']} threads and "
        f"{load['connections']} connections; {effort['rounds']} rounds of {effort['seconds']} s after "
        f"{effort['warm_up_seconds']} s of warm-up."
    )


def versions(interpreter: dict[str, Any]) -> str:
    suffix = "t" if interpreter["free_threaded"] else ""
    packages = ", ".join(f"{name} {version}" for name, version in interpreter["packages"].items())
    form = f", {interpreter['form']}" if interpreter["form"] else ""
    return f"CPython {interpreter['version'].split()[0]}{suffix} with {packages}{form}"
