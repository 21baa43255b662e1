"""What every loop uses and nobody frees, exempt from the counting of references on free-threaded Python.

The compiled form of `uncounted.py`. Runs on the thread that starts the loops, before it does; keeps nothing.

Python exempts its own functions, and not those that Cython makes. Each call counts them, and where several threads do
so, their processors hand the count to one another, which takes longer than many a call.
"""

import asyncio
import sys
from importlib.machinery import EXTENSION_SUFFIXES

PACKAGES = ("threadserve", "uvloop")
FUNCTION = "cython_function_or_method"
# Where Cython keeps the types of its coroutines and functions, for all modules that it made.
TYPES = "_cython_"

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    // A count that is too large to be kept makes an object immortal.
    #define EXEMPT(object) Py_SET_REFCNT(object, (Py_ssize_t)UINT32_MAX + 1)
    #else
    #define EXEMPT(object) ((void)0)
    #endif
    """
    void EXEMPT(object)


def exempt_from_counting():
    """Exempts the compiled functions of this package and of uvloop, their types, and the type of asyncio's tasks."""
    EXEMPT(asyncio.Task)
    for name, module in list(sys.modules.items()):
        if name.startswith(TYPES):
            exempt_types(module)
        elif name.partition(".")[0] in PACKAGES and is_extension(module):
            exempt_functions(module)


def is_extension(module):
    return (getattr(module, "__file__", None) or "").endswith(tuple(EXTENSION_SUFFIXES))


def exempt_types(module):
    for value in vars(module).values():
        if isinstance(value, type):
            EXEMPT(value)


def exempt_functions(module):
    for owner in [module, *[value for value in vars(module).values() if isinstance(value, type)]]:
        for value in vars(owner).values():
            if type(value).__name__ == FUNCTION:
                EXEMPT(value)
