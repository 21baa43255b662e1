"""A comparison as a JSON file: everything that was measured, with all that is needed to trace a figure."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadtests.generators.result import LoadResult
from loadtests.results.comparison import Results, Sample, Usage
from loadtests.results.files import read_results, replace_text

FORMAT = "loadtests-compare-1"


def write(path: Path, results: Results) -> None:
    """Writes all of it, replacing at once what the file said before."""
    replace_text(path, json.dumps({"format": FORMAT, **asdict(results)}) + "\n")


def read(path: Path) -> Results:
    """Reads what `write` has written; raises LoadTestError for anything else."""
    return read_results(path, "compare", FORMAT, results_of)


def results_of(told: dict[str, Any]) -> Results:
    samples = [sample_of(sample) for sample in told["samples"]]
    return Results(dict(told["facts"]), dict(told["scenarios"]), list(told["left_out"]), samples)


def sample_of(told: dict[str, Any]) -> Sample:
    timeline = [(at, taken) for at, taken in told["load"]["timeline"]]
    load = LoadResult(**{**told["load"], "timeline": timeline})
    return Sample(**{**told, "load": load, "usage": Usage(**told["usage"])})
