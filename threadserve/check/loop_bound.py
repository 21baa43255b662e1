"""Objects that belong to one event loop, and what it means that the application keeps them where it does.

Runs in the process that checks, on one thread, while the application is up. It owns nothing and changes nothing.
"""

from typing import Any

from threadserve.check.findings import Finding, Level, Place
from threadserve.check.object_search import Held, Sharing, held_by_app, held_by_modules
from threadserve.instances.project import is_within

PER_LOOP = 'Make one for each loop: in the lifespan, yield {"client": ...}, and use request.state.client.'


def loop_bound(app: Any, sharing: Sharing) -> list[Finding]:
    """A finding for each such object that modules or the application hold, wherever it is found first."""
    best: dict[int, tuple[Held, Place | None]] = {}
    for held in (*held_by_modules(sharing), *held_by_app(app, sharing)):
        known = best.get(id(held.value))
        if known is None or (known[1] is None and held.place is not None and not held.is_library):
            best[id(held.value)] = held, held.place
    return [finding_for(held, place, sharing) for held, place in best.values()]


def finding_for(held: Held, place: Place | None, sharing: Sharing) -> Finding:
    """What it means that an object is where it is."""
    where = f"{held.module.__name__}.{held.label}" if held.module is not None else held.label
    belongs = f"{where} ({held.kind}) belongs to one event loop"
    if held.is_copied:
        message = f"{belongs}, and each thread has its own, as it has its own copy of the module."
        return Finding(Level.NOTE, "loop-bound", message, "", place)
    message = f"{belongs}, and all threads share it: {why_shared(held, sharing)}."
    if sharing.is_wsgi:
        remedy = "Make it where it is used, within the event loop that uses it."
        return Finding(Level.WARN, "loop-bound", message, remedy, place)
    return Finding(Level.BREAK, "loop-bound", message, remedy_for(held, sharing), place)


def why_shared(held: Held, sharing: Sharing) -> str:
    """Why there is one of it."""
    if held.is_library:
        return "its module is a library's, of which there is one"
    return sharing.reason or f"--app-shared {owner_of(held, sharing)}"


def remedy_for(held: Held, sharing: Sharing) -> str:
    """What to do about it."""
    if held.is_library:
        return "Use one of your own for each loop, made in the lifespan; or serve with --threads 1 --workers N."
    if not sharing.reason:
        return f"{PER_LOOP} Or move it into a module that is not in --app-shared {owner_of(held, sharing)}."
    return f"{PER_LOOP} Or leave out --app-instance shared." if sharing.is_asked_for else PER_LOOP


def owner_of(held: Held, sharing: Sharing) -> str:
    """The module that the settings keep in one copy and this one within it, or those that may have imported it."""
    name = held.module.__name__ if held.module is not None else ""
    shared = sharing.project.shared
    return next((each for each in shared if is_within(name, [each])), " --app-shared ".join(shared))
