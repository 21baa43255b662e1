"""When, where and with what was measured."""

import datetime
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from loadtests import wrk
from loadtests.interpreters import ROOT
from loadtests.rounds import Bench

# The load average of one minute below which a machine counts as idle.
IDLE = 0.5


def collect(bench: Bench) -> dict[str, Any]:
    """When, where, with what and how it was measured."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": {
            "cpus": len(os.sched_getaffinity(0)),
            "cpu": cpu_model(),
            "memory_mb": psutil.virtual_memory().total // 1_000_000,
            "kernel": platform.release(),
            "load_average_before": os.getloadavg()[0],
        },
        "interpreters": {build: asdict(interpreter) for build, interpreter in bench.interpreters.items()},
        "load_generator": wrk.version(),
        "client_python": sys.version,
        "effort": asdict(bench.effort),
        "cpu_turns": bench.cpu_turns,
    }


def commit() -> str:
    """What git calls this tree, or "" outside a clone."""
    line = ["git", "describe", "--always", "--dirty"]
    try:
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def doubts(told: dict[str, Any], bench: Bench) -> list[str]:
    """What makes the figures other ones than the table's, one line each."""
    lines = [line for interpreter in bench.interpreters.values() for line in interpreter.unexpected()]
    busy = told["machine"]["load_average_before"]
    if busy > IDLE:
        lines.append(f"the machine is not idle, its load average is {busy:.1f}")
    return lines


def describe(told: dict[str, Any]) -> str:
    """One paragraph of the facts, to stand above the table."""
    effort, machine = told["effort"], told["machine"]
    load = effort["load"]
    return (
        f"{told['date']}, commit {told['commit'] or 'unknown'}; {machine['cpus']} CPUs ({machine['cpu']}), "
        f"load generator on the same; {'; '.join(map(versions, told['interpreters'].values()))}; "
        f"{told['load_generator'].split(' Copyright')[0]} with {load['threads']} threads and "
        f"{load['connections']} connections; {effort['rounds']} rounds of {effort['seconds']} s after "
        f"{effort['warm_up_seconds']} s of warm-up."
    )


def versions(interpreter: dict[str, Any]) -> str:
    suffix = "t" if interpreter["free_threaded"] else ""
    packages = ", ".join(f"{name} {version}" for name, version in interpreter["packages"].items())
    return f"CPython {interpreter['version'].split()[0]}{suffix} with {packages}"
