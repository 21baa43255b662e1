"""What to do about an object that belongs to the event loop of another thread.

Runs on whichever thread logs an application's error, and only then. It owns nothing and never changes an error.
"""

# How asyncio words it, in order: tasks, its locks and queues, gather() and ensure_future(), and its debug mode.
OTHER_LOOP = (
    "attached to a different loop",
    "bound to a different event loop",
    "belongs to a different loop",
    "event loop other than the current one",
)
HINT = (
    "Hint: an object that belongs to the event loop of one thread was used on another. Make it in the lifespan or in a "
    "factory (--factory), leave out --app-instance shared if it is there, or use --threads 1."
)


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
