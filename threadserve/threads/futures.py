"""Calls whose result or exception goes to a future. Runs on the thread that makes the call."""

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def run_in_thread(call: Callable[[], T]) -> tuple[Future[T], threading.Thread]:
    """Run a call on a thread of its own; return the future of its result, and the thread."""
    outcome: Future[T] = Future()
    run = contextvars.copy_context().run
    thread = threading.Thread(target=run, args=(resolve, outcome, call), name="threadserve-acceptor", daemon=True)
    thread.start()
    return outcome, thread


def resolve(future: Future[T], call: Callable[[], T]) -> None:
    """Run a call and give the future its result or exception, unless the future was cancelled."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
        # The error refers to this frame: without this both would form a reference cycle with the future.
        del future
    else:
        future.set_result(result)
