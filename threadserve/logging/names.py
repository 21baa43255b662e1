"""The server's loggers, each under two names: ours and the one that Uvicorn has for it.

Runs on the thread that configures logging. It keeps nothing: the loggers are the process's, as all loggers are.
"""

import logging
import logging.config
import sys

SUFFIXES = ("", ".error", ".access", ".asgi")


def other_name(name: str) -> str | None:
    """The other of a logger's two names, if it has two."""
    first, dot, rest = name.partition(".")
    others = {"threadserve": "uvicorn", "uvicorn": "threadserve"}
    return f"{others[first]}{dot}{rest}" if first in others and f"{dot}{rest}" in SUFFIXES else None


class Kept:
    """What makes a logger one that is disabled by those only who mean it.

    `logging.config` disables whatever loggers a configuration does not name, unless it is told not to: the application
    that leaves the default has never heard of this one.
    """

    @property
    def disabled(self) -> bool:
        """Whether nothing is logged."""
        return bool(vars(self)["disabled"])

    @disabled.setter
    def disabled(self, value: bool) -> None:
        if not value or sys._getframe(1).f_globals.get("__name__") != logging.config.__name__:
            vars(self)["disabled"] = value


def take_names() -> None:
    """Has Uvicorn's names stand for our loggers, so that what is set up for one is set up for the other.

    Loggers that somebody has got by those names already share all that ours have, to which what was set up for them is
    added.
    """
    for suffix in SUFFIXES:
        ours, theirs = logging.getLogger(f"threadserve{suffix}"), logging.getLogger(f"uvicorn{suffix}")
        keep(ours)
        if theirs is not ours:
            take_over(theirs, ours)
            logging.Logger.manager.loggerDict[f"uvicorn{suffix}"] = ours


def keep(logger: logging.Logger) -> None:
    """Has a logger stay enabled, whatever class of loggers the program has chosen."""
    kind = type(logger)
    if not issubclass(kind, Kept):
        logger.__class__ = type(kind.__name__, (Kept, kind), {})


def take_over(theirs: logging.Logger, ours: logging.Logger) -> None:
    """Makes `ours` of what `theirs` has, and one of the two, whoever holds which."""
    for handler in theirs.handlers:
        ours.addHandler(handler)
    for filter in theirs.filters:
        ours.addFilter(filter)
    if theirs.level:
        ours.setLevel(theirs.level)
    ours.propagate = ours.propagate and theirs.propagate
    ours.disabled = ours.disabled or theirs.disabled
    for name, value in vars(theirs).items():
        # What a logger of the program's own class has beyond others.
        vars(ours).setdefault(name, value)
    theirs.__dict__ = vars(ours)
    keep(theirs)
