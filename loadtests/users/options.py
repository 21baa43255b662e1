"""The options that the locustfile adds to Locust's own, and what has to be right in a process that runs users."""

# mypy: disable-error-code="untyped-decorator"
import argparse
import random
import signal
from contextlib import suppress
from typing import Any

import gevent
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import LocalRunner, WorkerRunner

SAMPLES_HELP = """Write a line of CSV for each finished request: seconds since the epoch at its end, milliseconds, name,
error or nothing. A worker puts its number before the suffix."""
SEED_HELP = "Make the same random choices in every run. With several users it depends on the server who makes which."


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser, **_: Any) -> None:
    """Add the options. Locust hands a master's to its workers, except for the file, which each is told by itself."""
    parser.add_argument("--samples", metavar="FILE", include_in_web_ui=False, help=SAMPLES_HELP)
    parser.add_argument("--path", type=url_path, default="/", help="What PathUser asks for. Default: /")
    parser.add_argument(
        "--think-time", type=factor, default=1.0, metavar="FACTOR", help="Multiplies the users' think times. Default: 1"
    )
    parser.add_argument("--seed", type=int, metavar="N", include_in_web_ui=False, help=SEED_HELP)


def url_path(text: str) -> str:
    """Return the path of a URL; raise ArgumentTypeError unless it begins with a slash."""
    if not text.startswith("/"):
        raise argparse.ArgumentTypeError(f"{text!r} does not begin with a slash")
    return text


def factor(text: str) -> float:
    """Return a number by which times are multiplied; raise ArgumentTypeError unless it is one."""
    with suppress(ValueError):
        if 0 <= (number := float(text)) < float("inf"):
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 up")


@events.test_start.add_listener
def seed(environment: Environment, **_: Any) -> None:
    """Set the seed in a process that runs users, in each worker another one."""
    runner, options = environment.runner, environment.parsed_options
    if isinstance(runner, LocalRunner | WorkerRunner) and options is not None and options.seed is not None:
        random.seed(f"{options.seed} {runner.worker_index}")


@events.init.add_listener
def prepare_gevent(**_: Any) -> None:
    """Have timers and interrupts work as they should.

    A timer counts from the loop's last look at the clock, which was before all modules were imported, so `--run-time`
    would be too short by as long as that took. An interrupt is raised in whichever greenlet runs, unless gevent looks
    after it: it would end a user's work in the middle, and come out of a group of greenlets twice, the second time
    ending Locust before it has written everything.
    """
    gevent.get_hub().loop.update_now()
    gevent.signal_handler(signal.SIGINT, interrupt)


def interrupt() -> None:
    """End what the main greenlet waits for, in a greenlet of its own."""
    raise KeyboardInterrupt
