"""What every loop uses and nobody frees, exempt from the counting of references on free-threaded Python.

The compiled form of `uncounted.py`. Runs on the thread that has just imported such things: only the thread that has
made an object can exempt it. Keeps nothing.

Python exempts its own functions, and not those that Cython makes. Each call counts them, and where several threads do
so, their processors hand the count to one another, which takes longer than many a call.
"""

import asyncio
import gc
import re
import sys
from types import CodeType, FunctionType, ModuleType

from threadserve.runtime.forms import is_extension_module

PACKAGES = ("threadserve", "uvloop")
FUNCTION = "cython_function_or_method"
# Where Cython keeps the types of its coroutines and functions, for all modules that it made.
TYPES = re.compile(r"_cython_\d+(_\d+)*")

cdef extern from *:
    """
    // A count that is too large for the 32 bits in which a thread counts makes an object of that thread immortal. That
    // of another thread's object would become one which all threads count.
    #if defined(Py_GIL_DISABLED) && SIZEOF_SIZE_T > 4
    #define HAS_EXEMPTION 1
    #define EXEMPT(thing) do { \\
        if (_Py_IsOwnedByCurrentThread(thing)) Py_SET_REFCNT(thing, (Py_ssize_t)UINT32_MAX + 1); \\
    } while (0)
    #else
    #define HAS_EXEMPTION 0
    #define EXEMPT(thing) ((void)0)
    #endif
    """
    bint HAS_EXEMPTION
    void EXEMPT(object)


def exempt_from_counting():
    """Exempts the compiled functions of this package and of uvloop, their types, and the type of asyncio's tasks.

    What is imported later is not exempt, unless this is called again.
    """
    if not HAS_EXEMPTION:
        return
    EXEMPT(asyncio.Task)
    for name, module in list(sys.modules.items()):
        if not isinstance(name, str) or not isinstance(module, ModuleType):
            continue
        if TYPES.fullmatch(name):
            exempt_types(module)
        elif name.partition(".")[0] in PACKAGES and is_extension_module(module):
            exempt_functions(module)


def exempt_constants():
    """Exempts the constants in the code of every function that there is.

    Python does so for code that it reads from a .pyc file, and not for what it has compiled itself: all of a program
    where `$PYTHONDONTWRITEBYTECODE` is set, as in most containers. Arithmetic with a constant of a few digits then takes
    two threads as long as one.
    """
    if HAS_EXEMPTION:
        seen = set()
        for thing in gc.get_objects():
            if type(thing) is FunctionType:
                exempt_constants_of(thing.__code__, seen)


cdef exempt_constants_of(code, set seen):
    if id(code) in seen:
        return
    seen.add(id(code))
    for constant in code.co_consts:
        if type(constant) is CodeType:
            exempt_constants_of(constant, seen)
        else:
            exempt_constant(constant)


cdef exempt_constant(constant):
    if type(constant) is tuple or type(constant) is frozenset:
        for part in constant:
            exempt_constant(part)
    EXEMPT(constant)


def exempt_types(module):
    for value in types_of(module):
        EXEMPT(value)


def exempt_functions(module):
    for owner in [module, *types_of(module)]:
        for value in list(vars(owner).values()):
            if type(value).__name__ == FUNCTION:
                EXEMPT(value)


def types_of(module):
    return [value for value in list(vars(module).values()) if isinstance(value, type)]
