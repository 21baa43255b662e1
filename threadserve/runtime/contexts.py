"""The contexts (PEP 567) that applications run in: what the program and the application's module have set.

Runs on whichever thread asks; keeps nothing.
"""

import contextvars


def unshared_copy() -> contextvars.Context:
    """A context with what the current one has, whose own parts no other thread counts references of."""
    copy = contextvars.Context()
    for variable, value in contextvars.copy_context().items():
        copy.run(variable.set, value)
    return copy
