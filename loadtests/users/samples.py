"""`--samples FILE`: a line of CSV for each finished request, failed ones too.

While users run, a request costs no more than an append to a list. The lines are written when the test stops, whatever
stops it: the end of --run-time, the web interface, a master, SIGINT or SIGTERM.
"""

# mypy: disable-error-code="untyped-decorator, no-untyped-call"
import csv
import sys
import time
from pathlib import Path
from typing import Any

from locust import events
from locust.env import Environment
from locust.runners import MasterRunner, Runner, WorkerRunner


@events.init.add_listener
def start_recording(environment: Environment, runner: Runner, **_: Any) -> None:
    """Record in each process that runs users, if its command line says so. End Locust where the file is no good."""
    options = environment.parsed_options
    if options is None or not options.samples or isinstance(runner, MasterRunner):
        return
    path = Path(options.samples)
    if isinstance(runner, WorkerRunner):
        # The workers of a machine share a folder.
        path = path.with_name(f"{path.stem}-{runner.worker_index}{path.suffix}")
    try:
        path.write_text("")
    except OSError as error:
        sys.exit(f"cannot write the samples to {path}: {error.strerror}")
    samples: list[tuple[str, str, str, str]] = []

    def record(name: str, response_time: float, exception: BaseException | None = None, **_: Any) -> None:
        error = "" if exception is None else " ".join(str(exception).split()) or type(exception).__name__
        samples.append((f"{time.time():.6f}", f"{response_time:.3f}", name, error))

    def write(**_: Any) -> None:
        with path.open("a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(samples)
        samples.clear()

    environment.events.request.add_listener(record)
    environment.events.test_stop.add_listener(write)
