"""A comparison as a JSON file: everything that was measured, with all that is needed to trace a figure."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadtests.errors import LoadTestError
from loadtests.generators.result import LoadResult
from loadtests.results.comparison import Results, Sample, Usage
from loadtests.results.files import replace_text

FORMAT = "loadtests-compare-1"


def write(path: Path, results: Results) -> None:
    """Writes all of it, replacing at once what the file said before."""
    replace_text(path, json.dumps({"format": FORMAT, **asdict(results)}) + "\n")


def read(path: Path) -> Results:
    """Reads what `write` has written; raises LoadTestError for anything else."""
    try:
        told = json.loads(path.read_text())
    except OSError as error:
        raise LoadTestError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise LoadTestError(f"{path} is no results of `compare`: it is not JSON") from None
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise LoadTestError(f"{path} is no results of `compare` in the format {FORMAT}")
    try:
        return results_of(told)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LoadTestError(f"{path} is damaged: {type(error).__name__} {error}") from None


def results_of(told: dict[str, Any]) -> Results:
    samples = [sample_of(sample) for sample in told["samples"]]
    return Results(dict(told["facts"]), dict(told["scenarios"]), list(told["left_out"]), samples)


def sample_of(told: dict[str, Any]) -> Sample:
    timeline = [(at, taken) for at, taken in told["load"]["timeline"]]
    load = LoadResult(**{**told["load"], "timeline": timeline})
    return Sample(**{**told, "load": load, "usage": Usage(**told["usage"])})
