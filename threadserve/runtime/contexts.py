"""The context (PEP 567) that applications run in. Runs on whichever thread asks; keeps nothing."""

import contextvars


def copy_context_unshared() -> contextvars.Context:
    """Return a copy of the current context that shares no part with it, so that other threads count no references."""
    copy = contextvars.Context()
    for variable, value in contextvars.copy_context().items():
        copy.run(variable.set, value)
    return copy
