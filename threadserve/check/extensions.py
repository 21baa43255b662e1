"""Findings about extension modules that are not made for threads that run in parallel.

Runs in the process that checks, once the application is loaded. It owns nothing, and imports no module of the
application.
"""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions

from threadserve.check.findings import Finding, Level, SourceLocation
from threadserve.runtime.forms import PACKAGE
from threadserve.runtime.gil import (
    GilGuard,
    find_gil_option,
    is_free_threaded_build,
    is_gil_enabled,
    list_extension_modules,
)

# A line of a wheel's metadata: Python, ABI and platform, each one or several joined by dots (PEP 425).
WHEEL_TAG = re.compile(r"^Tag: *([^-\s]+)-([^-\s]+)-(\S+) *$", re.MULTILINE)
FREE_THREADED_ABI = re.compile(r"(cp\d+|abi\d+)t[a-z]*")


def check_extension_modules(guard: GilGuard, threads: int) -> list[Finding]:
    """Return the findings about loaded extension modules; `guard` has watched the imports."""
    return [*check_gil(guard, Level.BREAK if threads > 1 else Level.WARN), *check_builds()]


def check_gil(guard: GilGuard, level: Level) -> list[Finding]:
    """Return a finding for each module that turned on the GIL of an interpreter without it."""
    if not is_free_threaded_build() or not is_gil_enabled() or find_gil_option():
        return []
    if not guard.culprits:
        return [
            Finding(
                level, "gil-on", f"The GIL is on, so threads take turns: {guard.describe_cause()}.", EXTENSION_REMEDY
            )
        ]
    sentence = "Importing {} turns the GIL on, so threads take turns."
    return [
        Finding(level, "gil-on", sentence.format(name), EXTENSION_REMEDY, locate_module(name))
        for name in guard.culprits
    ]


EXTENSION_REMEDY = (
    "Install a version that declares that it runs without the GIL, or leave it out. PYTHON_GIL=0 keeps the GIL off at "
    "your own risk."
)


def locate_module(module: str) -> SourceLocation | None:
    """Return the file of a loaded module."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return SourceLocation(str(file), None) if file else None


def check_builds() -> list[Finding]:
    """Return a finding about distributions in use that were not built for free-threaded Python."""
    not_built = filter(lacks_free_threaded_build, iterate_loaded_distributions())
    names = [f"{each.name} {each.version}" for each in not_built]
    if not names:
        return []
    if is_free_threaded_build():
        message = f"Not built for free-threaded Python: {', '.join(names)}."
        remedy = "Install a wheel for this interpreter, or build one here: pip install --no-binary."
        return [Finding(Level.WARN, "not-free-threaded", message, remedy)]
    message = f"On free-threaded Python these need builds of their own: {', '.join(names)}."
    return [Finding(Level.NOTE, "not-free-threaded", message, "See that there are some before you change to it.")]


def iterate_loaded_distributions() -> Iterator[Distribution]:
    """Yield the installed distributions with a loaded extension module, except the server itself."""
    by_package = packages_distributions()
    packages = {name.partition(".")[0] for name in list_extension_modules()} - {PACKAGE}
    for name in sorted({name for package in packages for name in by_package.get(package, ())}, key=str.lower):
        try:
            yield distribution(name)
        except PackageNotFoundError:
            # Its metadata has been removed since.
            continue


def lacks_free_threaded_build(installed: Distribution) -> bool:
    """Return whether a distribution was built only for Python with the GIL, by what its installer recorded."""
    abis = {abi for _, joined, _ in WHEEL_TAG.findall(installed.read_text("WHEEL") or "") for abi in joined.split(".")}
    return bool(abis) and not any(abi == "none" or FREE_THREADED_ABI.fullmatch(abi) for abi in abis)
