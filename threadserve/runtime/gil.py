"""The guard that notices when the GIL is on where it should be off, and which module turned it on.

Importing an extension module that does not declare that it runs without the GIL (PEP 703) turns the GIL on for the
whole process, for good, and any thread may do the importing. `GilGuard` belongs to the server's thread; only its
warnings hook runs on the thread that imports, and appends to a deque. Nothing here changes whether the GIL is on.
"""

import logging
import re
import sys
import sysconfig
import warnings
from collections import deque
from typing import TextIO

from threadserve.runtime.forms import is_extension_module

# The text of CPython's own RuntimeWarning: _PyImport_CheckGILForModule() in Python/import.c.
GIL_WARNING = re.compile(r"\(GIL\) has been enabled to load module '(.+?)'")
MAX_CANDIDATES = 10

logger = logging.getLogger("threadserve.error")


def is_free_threaded_build() -> bool:
    """Return whether this interpreter was built to run without the GIL (PEP 703)."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def is_gil_enabled() -> bool:
    """Return whether the GIL is on now. On an ordinary build it always is."""
    return sys._is_gil_enabled() if hasattr(sys, "_is_gil_enabled") else True


class GilGuard:
    """A guard that warns once, on the logger `threadserve.error`, when the GIL is on on a free-threaded build.

    Every method runs on the server's thread. On a build with the GIL they do nothing.
    """

    def __init__(self) -> None:
        self._is_active = is_free_threaded_build()
        self._culprits: deque[str] = deque()
        self._known_modules: frozenset[str] = frozenset()
        self._was_on = False
        self._has_warned = False
        self._show_before = warnings.showwarning

    @property
    def culprits(self) -> list[str]:
        """The modules that have turned the GIL on, as far as they could be named."""
        return list(self._culprits)

    def install(self) -> None:
        """Start to watch. To be called before the application is imported: what is loaded later can be named."""
        if not self._is_active:
            return
        self._show_before = warnings.showwarning
        warnings.showwarning = self._on_warning
        self._note_state()

    def check(self) -> None:
        """Warn if the GIL is on, unless it warned before. Cheap enough for every second.

        While a thread imports any extension module, CPython turns the GIL on for that moment. So without the name of a
        module the GIL has to be found on twice in a row.
        """
        if not self._is_active or self._has_warned:
            return
        was_on = self._was_on
        self._note_state()
        if self._was_on and (was_on or self._culprits):
            self._has_warned = True
            logger.warning("The GIL is on, so threads take turns: %s", self.describe_cause())

    def uninstall(self) -> None:
        """Remove the hook, unless somebody has set another one since, which may still call it."""
        if self._is_active and warnings.showwarning == self._on_warning:
            warnings.showwarning = self._show_before

    def _note_state(self) -> None:
        self._was_on = is_gil_enabled()
        if not self._was_on:
            self._known_modules = frozenset(sys.modules.copy())

    def _on_warning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        culprit = GIL_WARNING.search(str(message))
        if culprit is not None:
            self._culprits.append(culprit[1])
        self._show_before(message, category, filename, lineno, file, line)

    def describe_cause(self) -> str:
        """Return the reason why the GIL is on, and what to do."""
        if self._culprits:
            return (
                f"it was turned on to load the module {self._culprits[0]!r}, which does not declare that it runs "
                "without it. A newer version may; PYTHON_GIL=0 keeps the GIL off at your own risk"
            )
        if option := find_gil_option():
            return f"{option} asks for it"
        candidates = sorted(list_extension_modules() - self._known_modules)
        if not candidates:
            return "which module turned it on is not known"
        more = f" and {len(candidates) - MAX_CANDIDATES} more" if len(candidates) > MAX_CANDIDATES else ""
        return f"one of these modules turned it on: {', '.join(candidates[:MAX_CANDIDATES])}{more}"


def find_gil_option() -> str:
    """Return the option or variable that turned the GIL on at start, or "". The option goes before the variable."""
    if getattr(sys.flags, "gil", None) != 1:
        return ""
    return "-X gil=1" if "gil" in sys._xoptions else "PYTHON_GIL=1"


def list_extension_modules() -> set[str]:
    """Return the names of the loaded extension modules, without Python's own and the server's."""
    known = {*sys.stdlib_module_names, __name__.partition(".")[0]}
    return {
        name
        for name, module in sys.modules.copy().items()
        if name.partition(".")[0] not in known and is_extension_module(module)
    }
