"""The checks of settings' values, which the declarations in `settings` name.

A check takes a value and returns one line that says what is wrong with it, or None. It runs on whichever thread makes a
configuration, keeps nothing and never changes a value.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from threadserve.proxies.forwarded import TrustedHosts, find_invalid_proxy, parse_field_names

Value = TypeVar("Value")
Check = Callable[[Any], str | None]

LOOPS = ("auto", "asyncio", "uvloop", "none")

# RFC 9110, section 5.6.2 (token) and, complemented, section 5.5 (field-vchar, space and tab).
FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
NOT_IN_FIELD_VALUE = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
FRAMING_HEADERS = ("content-length", "transfer-encoding")


def at_least(minimum: float) -> Check:
    """Return a check that a number is not below `minimum`."""
    return lambda value: None if value >= minimum else f"{value} is less than {minimum}"


def between(minimum: float, maximum: float) -> Check:
    """Return a check that a number is from `minimum` to `maximum`."""
    return lambda value: None if minimum <= value <= maximum else f"{value} is not from {minimum} to {maximum}"


# Of threads or of processes.
check_count = between(1, 1024)


def check_count_or_auto(value: int | str) -> str | None:
    """Check a number of threads or of processes, unless it is left to the number of CPUs."""
    return check_count(value) if value != "auto" else None


def requires_library(libraries: Mapping[str | bool, str]) -> Check:
    """Return a check that the library that a value needs is installed; `libraries` has their names by the values."""

    def check(value: str | bool) -> str | None:
        library = libraries.get(value)
        if library is None or find_spec(library) is not None:
            return None
        needing = value if isinstance(value, str) else "it"
        return f"{needing} needs the library {library}, which is not installed"

    return check


def check_loop_name(name: str) -> str | None:
    """Check that a name is an event loop's, or module:attribute."""
    if name in LOOPS or ":" in name:
        return None
    return f"{name!r} is not one of {', '.join(LOOPS)}, or module:attribute"


def check_admin_address(address: str) -> str | None:
    """Check that an address names a port or a Unix socket."""
    if re.fullmatch(r"unix:.+|(?:\[[^\]]+\]|[^:\[\]]+):[0-9]{1,5}", address):
        return None
    return f"{address!r} is not HOST:PORT, [IPv6]:PORT or unix:PATH"


def check_octal_mode(mode: str | int) -> str | None:
    """Check that permissions are a number or the octal digits of one."""
    if isinstance(mode, int):
        return None if 0 <= mode <= 0o7777 else f"{mode:#o} is not from 0 to 0o7777"
    return None if re.fullmatch("[0-7]{3,4}", mode) else f"{mode!r} is not three or four octal digits"


def check_texts(values: object) -> str | None:
    """Check that every member of a list is text."""
    wrong = [value for value in values if not isinstance(value, str)] if isinstance(values, Sequence) else []
    return f"{wrong[0]!r} is not text" if wrong else None


def check_hosts(names: str | Sequence[str]) -> str | None:
    """Check that this is the name of a host, or a list of at least one."""
    return check_texts(names) or (None if isinstance(names, str) or names else "a host is needed")


def check_trusted_hosts(allowed: str | Sequence[str]) -> str | None:
    """Check that these are addresses, networks and Unix sockets that can be trusted."""
    if problem := check_texts(allowed) or _find_value_error(TrustedHosts, allowed):
        return problem
    unknown = find_invalid_proxy(allowed)
    return f"{unknown!r} is not an address, a network, a Unix socket (unix:PATH) or *" if unknown else None


def check_proxy_headers(names: str | Sequence[str]) -> str | None:
    """Check that these are headers by which proxies tell where a request comes from."""
    return check_texts(names) or _find_value_error(parse_field_names, names)


def _find_value_error(make: Callable[[Value], object], value: Value) -> str | None:
    try:
        make(value)
    except ValueError as error:
        return str(error)
    return None


def check_folder(path: str) -> str | None:
    """Check that a path, relative to the working directory, is a folder's."""
    return None if Path(path).is_dir() else f"there is no folder {path!r}"


def check_header_fields(headers: Sequence[object]) -> str | None:
    """Check that headers are pairs of a name and a value that may stand in every response (RFC 9110, section 5)."""
    return next((problem for header in headers if (problem := _check_header(header))), None)


def _check_header(header: object) -> str | None:
    match header:
        case (str(name), str(value)):
            if not FIELD_NAME.fullmatch(name):
                return f"{name!r} is not a header's name"
            if forbidden := NOT_IN_FIELD_VALUE.search(value):
                return f"{value!r}, the value of {name}, has {forbidden.group()!r}, which no header may have"
            if name.lower() in FRAMING_HEADERS:
                return f"{name} cannot be the same for every response"
            return None
        case _:
            return f"{header!r} is not a pair of a name and a value"
