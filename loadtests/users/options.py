"""The options that the locustfile adds to Locust's own, and the seed that one of them sets."""

# mypy: disable-error-code="untyped-decorator"
import argparse
import math
import random
import signal
from typing import Any

import gevent
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import LocalRunner, WorkerRunner


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser, **_: Any) -> None:
    """Locust hands a master's options to its workers, except for the file: each process writes what it is told."""
    parser.add_argument(
        "--samples",
        metavar="FILE",
        include_in_web_ui=False,
        help="Write a line of CSV for each finished request: seconds since the epoch at its end, milliseconds, name, "
        "error or nothing. A worker puts its number before the suffix.",
    )
    parser.add_argument(
        "--path", type=url_path, default="/", metavar="PATH", help="What PathUser asks for again and again. Default: /"
    )
    parser.add_argument(
        "--think-time",
        type=factor,
        default=1.0,
        metavar="FACTOR",
        help="Multiply the users' think times by this; 0 for none. Default: 1",
    )
    parser.add_argument(
        "--seed",
        type=int,
        metavar="N",
        include_in_web_ui=False,
        help="Make the same random choices in every run. With several users it depends on the server which of them "
        "makes which.",
    )


def url_path(text: str) -> str:
    """The path of a URL; raises ArgumentTypeError unless it begins with a slash."""
    if not text.startswith("/"):
        raise argparse.ArgumentTypeError(f"{text!r} does not begin with a slash")
    return text


def factor(text: str) -> float:
    """A number by which times are multiplied; raises ArgumentTypeError unless it is one."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 up")
    return number


@events.test_start.add_listener
def seed(environment: Environment, **_: Any) -> None:
    """Sets the seed in a process that runs users, in each worker another one."""
    runner, options = environment.runner, environment.parsed_options
    if isinstance(runner, LocalRunner | WorkerRunner) and options is not None and options.seed is not None:
        random.seed(f"{options.seed} {runner.worker_index}")


@events.init.add_listener
def look_at_the_clock(**_: Any) -> None:
    """A timer of gevent counts from its loop's last look at the clock, which was before all modules were imported.

    Without this, `--run-time` would be shorter than it says by as long as that took.
    """
    gevent.get_hub().loop.update_now()


@events.init.add_listener
def interrupt_apart(**_: Any) -> None:
    """An interrupt is raised in whichever greenlet runs, unless gevent looks after it.

    A user's work would end in the middle, and what comes out of a group of greenlets comes out twice: the second time
    it would end Locust before it has written everything.
    """
    gevent.signal_handler(signal.SIGINT, interrupt)


def interrupt() -> None:
    """Ends what the main greenlet waits for, in a greenlet of its own."""
    raise KeyboardInterrupt
