"""The users, as `locust -f loadtests/locustfile.py` loads them from the root of the repository, and their options.

The classes to run are named at the end of the command line; loadtests/README.md says what each of them does.
"""

# ruff: noqa: F401 - Locust looks for the classes here
# mypy: disable-error-code="untyped-decorator, no-untyped-call"
import csv
import os
import signal
import time
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtests.users.listeners import ChatUser, EventsUser
from loadtests.users.people import BrowserUser, JsonApiUser, MixedUser, PathUser, SiteUser, TransferUser
from loadtests.users.soak import ChaosUser, SteadyUser

SAMPLES_HELP = """Write a line of CSV for each request that this process finishes: seconds since the epoch at its end,
milliseconds, name, error or nothing."""


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser, **_: Any) -> None:
    """Add the options, which Locust hands from a master to its workers."""
    parser.add_argument("--samples", metavar="FILE", include_in_web_ui=False, help=SAMPLES_HELP)
    parser.add_argument("--path", default="/", help="What PathUser asks for. Default: /")
    parser.add_argument("--think-time", type=float, default=1.0, help="Multiplies the users' think times. Default: 1")


@events.init.add_listener
def record_samples(environment: Environment, **_: Any) -> None:
    """Keep each finished request in memory, failed ones too, and write them whenever and however the test stops."""
    # A timer counts from the loop's last look at the clock. That was before all imports, by which `--run-time` would be
    # too short.
    gevent.get_hub().loop.update_now()
    # An interrupt would be raised in whichever greenlet runs, and out of a group of them twice.
    gevent.signal_handler(signal.SIGINT, os.kill, os.getpid(), signal.SIGTERM)
    if environment.parsed_options is None or not environment.parsed_options.samples:
        return
    path = Path(environment.parsed_options.samples)
    if isinstance(environment.runner, WorkerRunner):
        # The workers of a machine share a folder.
        path = path.with_name(f"{path.stem}-{environment.runner.worker_index}{path.suffix}")
    file = path.open("w", newline="")
    samples: list[tuple[str, str, str, str]] = []

    def record(name: str, response_time: float, exception: BaseException | None = None, **_: Any) -> None:
        error = "" if exception is None else " ".join(str(exception).split()) or type(exception).__name__
        samples.append((f"{time.time():.6f}", f"{response_time:.3f}", name, error))

    def write(**_: Any) -> None:
        csv.writer(file, lineterminator="\n").writerows(samples)
        file.flush()
        samples.clear()

    environment.events.request.add_listener(record)
    environment.events.test_stop.add_listener(write)
