"""Findings about objects that belong to one event loop, by how the threads share them.

Runs in the inspected process, on one thread, while the application is up. It owns nothing and changes nothing.
"""

from threadserve.check.findings import Finding, Level, SourceLocation
from threadserve.check.object_search import HeldObject, Sharing, search_app, search_modules
from threadserve.instances.project import is_within

STATE_REMEDY = 'Make one for each loop: in the lifespan, yield {"client": ...}, and use request.state.client.'


def find_loop_bound_objects(app: object, sharing: Sharing) -> list[Finding]:
    """Return a finding for each such object, at the place where it is found first."""
    best: dict[int, tuple[HeldObject, SourceLocation | None]] = {}
    for held in (*search_modules(sharing), *search_app(app, sharing)):
        known = best.get(id(held.value))
        if known is None or (known[1] is None and held.location is not None and not held.is_library):
            best[id(held.value)] = held, held.location
    return [make_finding(held, place, sharing) for held, place in best.values()]


def make_finding(held: HeldObject, place: SourceLocation | None, sharing: Sharing) -> Finding:
    """Return the finding for an object at its place."""
    where = f"{held.module.__name__}.{held.label}" if held.module is not None else held.label
    belongs = f"{where} ({held.kind}) belongs to one event loop"
    if held.is_copied:
        message = f"{belongs}, and each thread has its own, as it has its own copy of the module."
        return Finding(Level.NOTE, "loop-bound", message, "", place)
    message = f"{belongs}, and all threads share it: {explain_sharing(held, sharing)}."
    if sharing.is_wsgi:
        remedy = "Make it where it is used, within the event loop that uses it."
        return Finding(Level.WARN, "loop-bound", message, remedy, place)
    return Finding(Level.BREAK, "loop-bound", message, choose_remedy(held, sharing), place)


def explain_sharing(held: HeldObject, sharing: Sharing) -> str:
    """Return the reason why there is one of it."""
    if held.is_library:
        return "its module is a library's, of which there is one"
    return sharing.reason or f"--app-shared {find_shared_module(held, sharing)}"


def choose_remedy(held: HeldObject, sharing: Sharing) -> str:
    """Return the remedy."""
    if held.is_library:
        return "Use one of your own for each loop, made in the lifespan; or serve with --threads 1 --workers N."
    if not sharing.reason:
        shared = find_shared_module(held, sharing)
        return f"{STATE_REMEDY} Or move it into a module that is not in --app-shared {shared}."
    return f"{STATE_REMEDY} Or leave out --app-instance shared." if sharing.is_asked_for else STATE_REMEDY


def find_shared_module(held: HeldObject, sharing: Sharing) -> str:
    """Return the option's module that keeps this one in one copy, or all those that may have imported it."""
    name = held.module.__name__ if held.module is not None else ""
    shared = sharing.project.shared
    return next((each for each in shared if is_within(name, [each])), " --app-shared ".join(shared))
