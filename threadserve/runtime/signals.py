"""The signals that stop the server, and those that have it look after what it has open.

Runs on the main thread, the only one that Python delivers signals to; elsewhere it installs nothing. It owns the
handlers while it is entered and puts back those it found, also in a process that the application forks.
"""

import os
import signal
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from traceback import walk_tb
from types import FrameType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM)
# Certificates and log files are opened anew, or log files alone.
UPKEEP = (signal.SIGHUP, signal.SIGUSR1)


Handler = Callable[[int, FrameType | None], object]

# The handlers that each `handled` which is entered has found, the outermost first.
_found: list[dict[int, Any]] = []


def is_main_thread() -> bool:
    """Whether this is the thread on which signals are handled."""
    return threading.current_thread() is threading.main_thread()


def unclaimed(numbers: Iterable[int]) -> tuple[int, ...]:
    """Those of these signals that the program around the server does not handle itself."""
    return tuple(number for number in numbers if not is_claimed(number))


def is_claimed(number: int) -> bool:
    """Whether the program around the server handles a signal itself."""
    return signal.getsignal(number) not in (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler, survive)


def is_claimed_beside(owners: Collection[object]) -> bool:
    """Whether somebody else than these, whose methods are handlers, handles one of the signals that stop the server."""
    if not is_main_thread():
        return False
    return any(is_claimed(number) and owner_of(signal.getsignal(number)) not in owners for number in STOPPING)


def owner_of(handler: object) -> object:
    """The object whose method a handler is, or None."""
    return getattr(handler, "__self__", None)


def comes_of_signal(error: BaseException) -> bool:
    """Whether an error is a KeyboardInterrupt by which a handler of a signal has interrupted the application."""
    if not isinstance(error, KeyboardInterrupt) or not is_main_thread():
        return False
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # It is in C, and so in no traceback.
        return True
    codes = {code_of(signal.getsignal(number)) for number in signal.valid_signals()}
    return any(frame.f_code in codes for frame, _ in walk_tb(error.__traceback__))


def code_of(handler: Any) -> Any:
    """What a traceback shows of a handler, or None."""
    while isinstance(handler, partial):
        handler = handler.func
    function = handler if hasattr(handler, "__code__") or not callable(handler) else type(handler).__call__
    return getattr(function, "__code__", None)


def raise_again(came: Sequence[int]) -> None:
    """Raises signals that the server has taken from the program around it, the last one first, as Uvicorn does."""
    for number in came[::-1]:
        signal.raise_signal(number)


def call_claimants(came: Sequence[int]) -> None:
    """Has the program's own handlers called for such signals. What the others are for, the server's end, has come."""
    raise_again([number for number in came if is_claimed(number)])


def survive(number: int, frame: FrameType | None) -> None:
    """Does nothing about a signal. Unlike `SIG_IGN`, no program that is started inherits this."""


@contextmanager
def upkeep_survived() -> Iterator[None]:
    """Has the signals of `UPKEEP` end nobody before a server handles them, which has nothing to open anew then."""
    with handled(survive, [number for number in UPKEEP if signal.getsignal(number) == signal.SIG_DFL]):
        yield


@contextmanager
def captured(on_signal: Callable[[], object], numbers: Iterable[int] = STOPPING) -> Iterator[list[int]]:
    """Calls `on_signal` for each of these signals; gives the list of those that came, which may be emptied."""
    came: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        came.append(number)
        on_signal()

    with handled(handle, numbers):
        yield came


@contextmanager
def interrupts_deferred(on_interrupt: Callable[[], object]) -> Iterator[None]:
    """Calls `on_interrupt` for each Ctrl+C that would raise KeyboardInterrupt; all but the first raise that as well."""
    has_come = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal has_come
        is_first, has_come = not has_come, True
        on_interrupt()
        if not is_first:
            raise KeyboardInterrupt

    with handled(handle, [signal.SIGINT] if signal.getsignal(signal.SIGINT) is signal.default_int_handler else []):
        yield


@contextmanager
def handled(handler: Handler, numbers: Iterable[int] = STOPPING) -> Iterator[Callable[[], None]]:
    """Has these signals handled, and puts back the handlers that it found.

    Gives a function that takes the signals again from whoever has set a handler meanwhile, who finds it in the end.
    """
    found: dict[int, Any] = {}

    def take() -> None:
        for number in numbers:
            before = signal.signal(number, handler)
            if before != handler:
                found[number] = before

    if not is_main_thread():
        yield lambda: None
        return
    _found.append(found)
    take()
    try:
        yield take
    finally:
        _found[:] = [each for each in _found if each is not found]
        put_back(found)


def put_back(found: Mapping[int, Any]) -> None:
    """Installs handlers as they were found."""
    for number, before in found.items():
        signal.signal(number, before)


def put_back_in_fork() -> None:
    """Leaves a forked process, which does not serve, to the signals: its starter could not end it otherwise."""
    if _found:
        # The loop's, which is the starter's.
        signal.set_wakeup_fd(-1)
    while _found:
        put_back(_found.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=put_back_in_fork)
