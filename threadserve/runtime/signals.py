"""The signals that stop the server, and those by which it reopens log files and reloads certificates.

Runs on the main thread, the only one that Python delivers signals to; elsewhere it installs nothing. It owns the
handlers within a context manager, and restores those it found, also in a process that the application forks.
"""

import os
import signal
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from traceback import walk_tb
from types import CodeType, FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# The first reloads certificates and reopens log files, the second only reopens log files.
UPKEEP_SIGNALS = (signal.SIGHUP, signal.SIGUSR1)

Handler = Callable[[int, FrameType | None], object]
# Those that `signal.getsignal` returns; SIG_DFL and SIG_IGN are numbers.
FoundHandler = Handler | int | None

# The handlers that each active `handling_signals` has found, the outermost first.
_found: list[dict[int, FoundHandler]] = []


def is_main_thread() -> bool:
    """Return whether this is the thread on which signals are handled."""
    return threading.current_thread() is threading.main_thread()


def filter_unclaimed(numbers: Iterable[int]) -> tuple[int, ...]:
    """Return those of these signals that the program around the server does not handle itself."""
    return tuple(number for number in numbers if not is_claimed(number))


def is_claimed(number: int) -> bool:
    """Return whether the program around the server handles a signal itself."""
    return signal.getsignal(number) not in (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler, ignore_signal)


def has_other_stop_handler(owners: Collection[object]) -> bool:
    """Return whether a stop signal has a handler of the program's that is no method of these objects."""
    if not is_main_thread():
        return False
    handlers = [signal.getsignal(number) for number in STOP_SIGNALS if is_claimed(number)]
    return any(getattr(handler, "__self__", None) not in owners for handler in handlers)


def is_signal_interrupt(error: BaseException) -> bool:
    """Return whether an error is a KeyboardInterrupt by which a handler of a signal has interrupted the application."""
    if not isinstance(error, KeyboardInterrupt) or not is_main_thread():
        return False
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # It is in C, and so in no traceback.
        return True
    codes = {_get_code(signal.getsignal(number)) for number in signal.valid_signals()}
    return any(frame.f_code in codes for frame, _ in walk_tb(error.__traceback__))


def _get_code(handler: object) -> CodeType | None:
    """Return the code that a traceback shows of a handler, or None."""
    while isinstance(handler, partial):
        handler = handler.func
    function = handler if hasattr(handler, "__code__") or not callable(handler) else type(handler).__call__
    return getattr(function, "__code__", None)


def reraise_signals(received: Sequence[int]) -> None:
    """Raise signals that the server has taken from the program around it, the last one first, as Uvicorn does."""
    for number in received[::-1]:
        signal.raise_signal(number)


def call_program_handlers(received: Sequence[int]) -> None:
    """Call the program's own handlers for such signals. The others ask for the server's end, which has come."""
    reraise_signals([number for number in received if is_claimed(number)])


def ignore_signal(number: int, frame: FrameType | None) -> None:
    """Do nothing about a signal. Unlike `SIG_IGN`, no program that is started inherits this."""


@contextmanager
def ignoring_upkeep_signals() -> Iterator[None]:
    """Keep `UPKEEP_SIGNALS` from ending the process before a server handles them: nothing is open yet."""
    unhandled = [number for number in UPKEEP_SIGNALS if signal.getsignal(number) == signal.SIG_DFL]
    with handling_signals(ignore_signal, unhandled):
        yield


@contextmanager
def collecting_signals(on_signal: Callable[[], object], numbers: Iterable[int] = STOP_SIGNALS) -> Iterator[list[int]]:
    """Call `on_signal` for each of these signals; yield the list of those received, which may be emptied."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        on_signal()

    with handling_signals(handle, numbers):
        yield received


@contextmanager
def deferring_interrupts(on_interrupt: Callable[[], object]) -> Iterator[None]:
    """Call `on_interrupt` for each Ctrl+C that would raise KeyboardInterrupt; all but the first raise that as well."""
    is_first = True

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal is_first
        was_first, is_first = is_first, False
        on_interrupt()
        if not was_first:
            raise KeyboardInterrupt

    with handling_signals(
        handle, [signal.SIGINT] if signal.getsignal(signal.SIGINT) is signal.default_int_handler else []
    ):
        yield


@contextmanager
def handling_signals(handler: Handler, numbers: Iterable[int] = STOP_SIGNALS) -> Iterator[Callable[[], None]]:
    """Handle these signals, and restore the handlers that were found.

    Yield a function that installs the handler again where another one was set meanwhile, which is then restored.
    """
    found: dict[int, FoundHandler] = {}

    def install() -> None:
        for number in numbers:
            before = signal.signal(number, handler)
            if before != handler:
                found[number] = before

    if not is_main_thread():
        yield lambda: None
        return
    _found.append(found)
    install()
    try:
        yield install
    finally:
        _found[:] = [each for each in _found if each is not found]
        _restore(found)


def _restore(found: Mapping[int, FoundHandler]) -> None:
    for number, before in found.items():
        signal.signal(number, before)


def _restore_in_fork() -> None:
    """Restore all handlers in a forked process, which does not serve: its starter could not end it otherwise."""
    if _found:
        # The loop's, which is the starter's.
        signal.set_wakeup_fd(-1)
    while _found:
        _restore(_found.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restore_in_fork)
