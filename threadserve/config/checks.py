"""What may be wrong with the value of a setting: the checks that `config` names beside its declarations.

Runs on whichever thread makes a configuration. It owns nothing, keeps nothing and never changes a value.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from threadserve.proxies.forwarded import TrustedHosts, believed_fields, unknown_proxy

Check = Callable[[Any], str | None]

LOOPS = ("auto", "asyncio", "uvloop", "none")

# RFC 9110, section 5.6.2 (token) and, complemented, section 5.5 (field-vchar, space and tab).
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
NOT_IN_FIELD_VALUE = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
FRAMING_HEADERS = ("content-length", "transfer-encoding")


def at_least(minimum: float) -> Check:
    """A check that a number is not below `minimum`."""
    return lambda value: None if value >= minimum else f"{value} is less than {minimum}"


def between(minimum: float, maximum: float) -> Check:
    """A check that a number is from `minimum` to `maximum`."""
    return lambda value: None if minimum <= value <= maximum else f"{value} is not from {minimum} to {maximum}"


def loop_name(name: str) -> str | None:
    """A check that a name is an event loop's, or module:attribute."""
    if name in LOOPS or ":" in name:
        return None
    return f"{name!r} is not one of {', '.join(LOOPS)}, or module:attribute"


def installed(libraries: Mapping[str | bool, str]) -> Check:
    """A check that the library that a value needs is there."""

    def check(value: str | bool) -> str | None:
        library = libraries.get(value)
        if library is None or find_spec(library) is not None:
            return None
        needing = value if isinstance(value, str) else "it"
        return f"{needing} needs the library {library}, which is not installed"

    return check


def admin_address(address: str) -> str | None:
    """A check that an address names a port or a Unix socket of its own."""
    if re.fullmatch(r"unix:.+|(?:\[[^\]]+\]|[^:\[\]]+):[0-9]{1,5}", address):
        return None
    return f"{address!r} is not HOST:PORT, [IPv6]:PORT or unix:PATH"


def octal_mode(mode: str | int) -> str | None:
    """A check that permissions are such, as a number or as its octal digits."""
    if isinstance(mode, int):
        return None if 0 <= mode <= 0o7777 else f"{mode:#o} is not from 0 to 0o7777"
    return None if re.fullmatch("[0-7]{3,4}", mode) else f"{mode!r} is not three or four octal digits"


def texts(values: object) -> str | None:
    """A check that every member of a list is text."""
    wrong = [value for value in values if not isinstance(value, str)] if isinstance(values, Sequence) else []
    return f"{wrong[0]!r} is not text" if wrong else None


def hosts(names: str | Sequence[str]) -> str | None:
    """A check that this is the name of a host, or a list of some."""
    return texts(names) or (None if isinstance(names, str) or names else "a host is needed")


def trusted_hosts(allowed: str | Sequence[str]) -> str | None:
    """A check that these are addresses, networks and Unix sockets that can be trusted."""
    if problem := texts(allowed) or problem_of(TrustedHosts, allowed):
        return problem
    unknown = unknown_proxy(allowed)
    return f"{unknown!r} is not an address, a network, a Unix socket (unix:PATH) or *" if unknown else None


def header_names(names: str | Sequence[str]) -> str | None:
    """A check that these are headers of proxies."""
    return texts(names) or problem_of(believed_fields, names)


def problem_of(make: Callable[[Any], object], value: object) -> str | None:
    """What makes it impossible to make something of a value, or None."""
    try:
        make(value)
    except ValueError as error:
        return str(error)
    return None


def existing_folder(path: str) -> str | None:
    """A check that a path, relative to the working directory, is a folder's."""
    return None if Path(path).is_dir() else f"there is no folder {path!r}"


def header_fields(headers: Sequence[Any]) -> str | None:
    """A check that headers are pairs of a name and a value that may stand in every response (RFC 9110, section 5)."""
    return next((problem for header in headers if (problem := _problem_with_header(header))), None)


def _problem_with_header(header: object) -> str | None:
    match header:
        case (str(name), str(value)):
            if not TOKEN.fullmatch(name):
                return f"{name!r} is not a header's name"
            if forbidden := NOT_IN_FIELD_VALUE.search(value):
                return f"{value!r}, the value of {name}, has {forbidden.group()!r}, which no header may have"
            if name.lower() in FRAMING_HEADERS:
                return f"{name} cannot be the same for every response"
            return None
        case _:
            return f"{header!r} is not a pair of a name and a value"
