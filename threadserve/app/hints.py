"""Hints for errors about another thread's loop, about the main thread, and about modules executed twice.

Runs on the thread that logs an application's error, and only then. It owns nothing; it only adds notes to errors.
"""

from contextlib import suppress
from typing import TypeVar

from threadserve.app.failed_module import find_failed_module, find_failed_module_in_text

# The words of asyncio, in order: for tasks, for its locks and queues, for gather(), and in its debug mode.
OTHER_LOOP_PHRASES = (
    "attached to a different loop",
    "bound to a different event loop",
    "belongs to a different loop",
    "event loop other than the current one",
)
OTHER_LOOP_HINT = (
    "Hint: an object that belongs to the event loop of one thread was used on another. Make it in the lifespan (yield "
    "{...}, request.state), leave out --app-instance shared and --app-shared if they are there, or use --threads 1."
)
# The words of Python and asyncio, and those of uvloop.
MAIN_THREAD_PHRASES = ("only works in main thread", "can only be called from the main thread")
MAIN_THREAD_HINT = (
    "Hint: Python lets the main thread alone handle signals. The application runs there with --threads 1, and "
    "elsewhere with more."
)
HINTS = ((OTHER_LOOP_PHRASES, OTHER_LOOP_HINT), (MAIN_THREAD_PHRASES, MAIN_THREAD_HINT))
EXECUTED_TWICE_HINT = (
    "Hint: the module {0} was executed before for another thread. If it can be executed only once, keep it in one copy "
    "with --app-shared {0}."
)

Error = TypeVar("Error", bound=BaseException)


def add_hint(error: Error) -> Error:
    """Add a hint to an error as a note, if there is one that helps, and return the error."""
    hint = find_hint(error)
    # Some errors refuse attributes, such as those that are frozen dataclasses.
    with suppress(AttributeError, TypeError):
        if hint is not None and hint not in getattr(error, "__notes__", ()):
            error.add_note(hint)
    return error


def find_hint(error: BaseException) -> str | None:
    """Return a line with remedies if an object or a module of another thread is behind an error, else None.

    Searches causes, contexts and exception groups too, because frameworks wrap what they catch.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        if hints := [
            hint for arg in current.args if isinstance(arg, str) and (hint := find_hint_in_text(arg)) is not None
        ]:
            return hints[0]
        if (module := find_failed_module(current)) is not None:
            return EXECUTED_TWICE_HINT.format(module)
        seen.add(id(current))
        members = current.exceptions if isinstance(current, BaseExceptionGroup) else ()
        waiting += [current.__cause__, current.__context__, *members]
    return None


def find_hint_in_text(text: str) -> str | None:
    """Return the hint for the text of an error, such as the message of a failed lifespan, or None."""
    for phrases, hint in HINTS:
        if any(phrase in text for phrase in phrases):
            return hint
    module = find_failed_module_in_text(text)
    return None if module is None else EXECUTED_TWICE_HINT.format(module)
