"""Uvicorn's names for the server's loggers.

Runs on the thread that configures logging. It keeps nothing: the loggers are the process's, as all loggers are.
"""

import logging
import logging.config
import sys

SUFFIXES = ("", ".error", ".access", ".asgi")


def get_other_name(name: str) -> str | None:
    """Return the other of a logger's two names, if it has two."""
    first, dot, rest = name.partition(".")
    others = {"threadserve": "uvicorn", "uvicorn": "threadserve"}
    return f"{others[first]}{dot}{rest}" if first in others and f"{dot}{rest}" in SUFFIXES else None


def alias_loggers() -> None:
    """Make Uvicorn's names stand for our loggers, so that what is set up for one is set up for the other.

    Loggers that somebody has got by those names already share all that ours have, to which what was set up for them is
    added.
    """
    for suffix in SUFFIXES:
        ours, theirs = logging.getLogger(f"threadserve{suffix}"), logging.getLogger(f"uvicorn{suffix}")
        keep_enabled(ours)
        if theirs is not ours:
            merge_loggers(theirs, ours)
            logging.Logger.manager.loggerDict[f"uvicorn{suffix}"] = ours


class AlwaysEnabled:
    """A base of a logger that `logging.config` does not disable.

    Unless it is told not to, that disables whatever loggers a configuration does not name. An application that leaves
    the default has never heard of this one.
    """

    @property
    def disabled(self) -> bool:
        """True where nothing is logged, because somebody has set this attribute."""
        return bool(vars(self)["disabled"])

    @disabled.setter
    def disabled(self, value: bool) -> None:
        if not value or sys._getframe(1).f_globals.get("__name__") != logging.config.__name__:
            vars(self)["disabled"] = value


def keep_enabled(logger: logging.Logger) -> None:
    """Add `AlwaysEnabled` to a logger, whatever class of loggers the program has chosen."""
    kind = type(logger)
    if not issubclass(kind, AlwaysEnabled):
        logger.__class__ = type(kind.__name__, (AlwaysEnabled, kind), {})


def merge_loggers(theirs: logging.Logger, ours: logging.Logger) -> None:
    """Add to one logger what the other has, and make them one, whoever holds which."""
    for handler in theirs.handlers:
        ours.addHandler(handler)
    for filter in theirs.filters:
        ours.addFilter(filter)
    if theirs.level:
        ours.setLevel(theirs.level)
    ours.propagate = ours.propagate and theirs.propagate
    ours.disabled = ours.disabled or theirs.disabled
    for name, value in vars(theirs).items():
        # A logger of the program's own class may have attributes that others do not have.
        vars(ours).setdefault(name, value)
    theirs.__dict__ = vars(ours)
    keep_enabled(theirs)
