"""Measures subjects in processes of their own, each in turn, so that what disturbs the machine disturbs all of them."""

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from loadtests.errors import LoadTestError
from loadtests.micro.process import REPEAT_SECONDS, START_SECONDS
from loadtests.micro.results import Sample
from loadtests.micro.subjects import Subject
from loadtests.process_groups import process_group
from loadtests.servers.interpreters import ROOT, environment

MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Effort:
    """Which benchmarks are measured, in how many processes of each subject, and how often in each."""

    names: Sequence[str]
    processes: int
    repeats: int


def measure(effort: Effort, subjects: Sequence[Subject], taken: Callable[[str, list[Sample]], None]) -> None:
    """Calls `taken` with the label and the samples of each process; raises LoadTestError where one fails.

    The processes are on the CPUs by turns. Each has its own seed for hashes, the same in every run, for the order of
    things in memory makes some operations quicker.
    """
    cpus = sorted(os.sched_getaffinity(0))
    for number in range(effort.processes):
        for subject in subjects:
            told = run(effort, subject, cpus[number % len(cpus)], seed=number)
            taken(subject.label, samples_of(told, subject, number))


def run(effort: Effort, subject: Subject, cpu: int, seed: int) -> dict[str, Any]:
    """What one process prints of its benchmarks."""
    # Without -P Python would look for the package in the working directory before anything else.
    line = [subject.python, "-P", "-m", "loadtests.micro.process", str(cpu), str(effort.repeats), *effort.names]
    path = os.pathsep.join(map(str, dict.fromkeys((subject.tree, ROOT))))
    settings = environment() | {"PYTHONPATH": path, "PYTHONHASHSEED": str(seed)}
    limit = (2 * START_SECONDS + REPEAT_SECONDS * effort.repeats) * len(effort.names)
    try:
        with process_group() as group:
            done = subprocess.run(
                line, env=settings, cwd=ROOT, capture_output=True, text=True, timeout=limit, process_group=group
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LoadTestError(f"{subject.label}: the process did not run: {error}") from None
    if done.returncode:
        raise LoadTestError(f"{subject.label}: the process failed: {''.join(done.stderr.splitlines()[-1:])}")
    told: dict[str, Any] = json.loads(done.stdout)
    if "error" in told:
        raise LoadTestError(f"{subject.label}, {told['error']}")
    if not Path(told["package"]).is_relative_to(subject.tree):
        raise LoadTestError(f"{subject.label}: {subject.python} takes threadserve from {told['package']}")
    return told


def samples_of(told: dict[str, Any], subject: Subject, number: int) -> list[Sample]:
    return [
        Sample(
            subject=subject.label,
            benchmark=name,
            process=number,
            least=min(measured["seconds"]) * MICROSECONDS,
            median=median(measured["seconds"]) * MICROSECONDS,
            switches=median(measured["switches"]),
        )
        for name, measured in told["measured"].items()
    ]
