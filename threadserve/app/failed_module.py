"""The module of a project that failed when it was executed once more, found from the error.

Runs on the thread that reports an error, and only then. It owns nothing and loads nothing.
"""

import re
import sys

from threadserve.instances.module_proxy import ModuleProxy

MODULE_FRAME = re.compile(r'^ *File "(.+)", line \d+, in <module>$', re.MULTILINE)


def find_failed_module(error: BaseException) -> str | None:
    """Return the innermost module with copies whose execution raised this error, or None."""
    found = None
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        name = frame.f_globals.get("__name__", "")
        if frame.f_code.co_name == "<module>" and type(sys.modules.get(name)) is ModuleProxy:
            found = name
        traceback = traceback.tb_next
    return found


def find_failed_module_in_text(text: str) -> str | None:
    """Return the name of the innermost project module whose code failed, by the text of a traceback."""
    files = MODULE_FRAME.findall(text)
    if not files:
        return None
    loaded = sys.modules.copy().items()
    names = {getattr(module, "__file__", None): name for name, module in loaded if type(module) is ModuleProxy}
    return next((names[file] for file in reversed(files) if file in names), None)
