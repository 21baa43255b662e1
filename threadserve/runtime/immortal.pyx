"""Immortal functions and constants (PEP 683): on free-threaded Python no thread counts references to them.

The compiled form of `immortal.py`. Runs on the thread that has just imported them: only the thread that has made an
object can make it immortal. Keeps nothing.

Python makes its own functions immortal, and not those of Cython. Each call counts them, and where several threads do
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
    #define CAN_IMMORTALIZE 1
    #define IMMORTALIZE(thing) do { \\
        if (_Py_IsOwnedByCurrentThread(thing)) Py_SET_REFCNT(thing, (Py_ssize_t)UINT32_MAX + 1); \\
    } while (0)
    #else
    #define CAN_IMMORTALIZE 0
    #define IMMORTALIZE(thing) ((void)0)
    #endif
    """
    bint CAN_IMMORTALIZE
    void IMMORTALIZE(object)


def immortalize_functions():
    """Make immortal the compiled functions of this package and of uvloop, their types, and the type of asyncio's tasks.

    To be called again after later imports.
    """
    if not CAN_IMMORTALIZE:
        return
    IMMORTALIZE(asyncio.Task)
    for name, module in list(sys.modules.items()):
        if not isinstance(name, str) or not isinstance(module, ModuleType):
            continue
        if TYPES.fullmatch(name):
            immortalize_types(module)
        elif name.partition(".")[0] in PACKAGES and is_extension_module(module):
            immortalize_module(module)


def immortalize_constants():
    """Make immortal the constants in the code of every function that there is.

    Python does so for code that it reads from a .pyc file, and not for what it has compiled itself: all of a program
    where `$PYTHONDONTWRITEBYTECODE` is set, as in most containers. Arithmetic with a constant of a few digits then takes
    two threads as long as one.
    """
    if CAN_IMMORTALIZE:
        seen = set()
        for thing in gc.get_objects():
            if type(thing) is FunctionType:
                immortalize_code(thing.__code__, seen)


cdef immortalize_code(code, set seen):
    if id(code) in seen:
        return
    seen.add(id(code))
    for constant in code.co_consts:
        if type(constant) is CodeType:
            immortalize_code(constant, seen)
        else:
            immortalize_constant(constant)


cdef immortalize_constant(constant):
    if type(constant) is tuple or type(constant) is frozenset:
        for part in constant:
            immortalize_constant(part)
    IMMORTALIZE(constant)


def immortalize_types(module):
    for value in list_types(module):
        IMMORTALIZE(value)


def immortalize_module(module):
    for owner in [module, *list_types(module)]:
        for value in list(vars(owner).values()):
            if type(value).__name__ == FUNCTION:
                IMMORTALIZE(value)


def list_types(module):
    return [value for value in list(vars(module).values()) if isinstance(value, type)]
