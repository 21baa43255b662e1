"""What to do about an object that belongs to the event loop of another thread.

Runs on whichever thread logs an application's error, and only then. It owns nothing; of an error it changes the notes.
"""

from contextlib import suppress
from typing import TypeVar

# How asyncio words it, in order: tasks, its locks and queues, gather() and ensure_future(), and its debug mode.
OTHER_LOOP = (
    "attached to a different loop",
    "bound to a different event loop",
    "belongs to a different loop",
    "event loop other than the current one",
)
HINT = (
    "Hint: an object that belongs to the event loop of one thread was used on another. Make it in the lifespan (yield "
    "{...}, request.state), leave out --app-instance shared and --app-shared if they are there, or use --threads 1."
)

Error = TypeVar("Error", bound=BaseException)


def with_hint(error: Error) -> Error:
    """The error, whose traceback ends with the hint if an object bound to another loop is behind it."""
    hint = hint_for(error)
    # Some errors refuse attributes, those that are frozen dataclasses for one.
    with suppress(AttributeError, TypeError):
        if hint is not None and hint not in getattr(error, "__notes__", ()):
            error.add_note(hint)
    return error


def hint_for(error: BaseException) -> str | None:
    """Returns one line with the remedies if an object bound to another loop is behind an error, else None.

    Looks at causes, contexts and the members of exception groups too, because frameworks wrap what they catch.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        if any(isinstance(arg, str) and hint_in(arg) for arg in current.args):
            return HINT
        seen.add(id(current))
        members = current.exceptions if isinstance(current, BaseExceptionGroup) else ()
        waiting += [current.__cause__, current.__context__, *members]
    return None


def hint_in(text: str) -> str | None:
    """The same for an error of which only the text is left, such as the message of a failed lifespan."""
    return HINT if any(phrase in text for phrase in OTHER_LOOP) else None
