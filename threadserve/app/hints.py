"""What to do about an object of another thread's loop, what only the main thread may do, and modules executed twice.

Runs on whichever thread logs an application's error, and only then. It owns nothing; of an error it changes the notes.
"""

from contextlib import suppress
from typing import TypeVar

from threadserve.app.failed_module import find_failed_module, find_failed_module_in_text

# How asyncio words it, in order: tasks, its locks and queues, gather() and ensure_future(), and its debug mode.
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
# How Python words it, asyncio with it, and uvloop.
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
    """The error, whose traceback ends with a hint if one is known that helps."""
    hint = find_hint(error)
    # Some errors refuse attributes, those that are frozen dataclasses for one.
    with suppress(AttributeError, TypeError):
        if hint is not None and hint not in getattr(error, "__notes__", ()):
            error.add_note(hint)
    return error


def find_hint(error: BaseException) -> str | None:
    """Returns one line with the remedies if an object or a module of another thread is behind an error, else None.

    Looks at causes, contexts and the members of exception groups too, because frameworks wrap what they catch.
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
    """The same for an error of which only the text is left, such as the message of a failed lifespan."""
    for phrases, hint in HINTS:
        if any(phrase in text for phrase in phrases):
            return hint
    module = find_failed_module_in_text(text)
    return None if module is None else EXECUTED_TWICE_HINT.format(module)
