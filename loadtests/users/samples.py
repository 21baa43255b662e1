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


class SampleRecorder:
    """Keeps samples until they are written. It owns the file, which it begins anew; raises OSError where it cannot."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._samples: list[tuple[str, str, str, str]] = []
        path.write_text("")

    def record(self, name: str, response_time: float, exception: BaseException | None = None, **_: Any) -> None:
        """Take one request as Locust reports it, the time in milliseconds; the present is when it ended."""
        error = "" if exception is None else " ".join(str(exception).split()) or type(exception).__name__
        self._samples.append((f"{time.time():.6f}", f"{response_time:.3f}", name, error))

    def write(self, **_: Any) -> None:
        """Append what has been recorded since the last time to the file."""
        samples, self._samples = self._samples, []
        with self._path.open("a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(samples)


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
        recorder = SampleRecorder(path)
    except OSError as error:
        sys.exit(f"cannot write the samples to {path}: {error.strerror}")
    environment.events.request.add_listener(recorder.record)
    environment.events.test_stop.add_listener(recorder.write)
