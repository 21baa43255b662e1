"""How a setting is declared, and how a value is held against its declaration.

Runs on whichever thread makes a configuration. It owns nothing and never changes a value.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, field
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from threadserve.config.checks import Check

PLAIN_TYPES: dict[Any, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Sequence: "a list",
    dict: "a dict",
    os.PathLike: "a path",
}

LONGEST_TIMEOUT = 10**9  # Seconds: as good as never, and within threading.TIMEOUT_MAX.


def setting(
    default: Any = MISSING,
    help: str = "",
    *,
    factory: Callable[[], Any] | None = None,
    check: Check | None = None,
    flag: str = "",
    choices: Sequence[str] = (),
    metavar: str = "",
    shown_default: str = "",
    takes_value: bool = False,
) -> Any:
    """Declares one setting that is on the command line too.

    `factory` makes the default where that is a mutable object, and `check` returns what is wrong with a value. `flag`
    is its name on the command line where that is not its own, and `choices` are the texts that it may be where its type
    does not list them. `metavar` names its value in the help, and `shown_default` describes a default there that is no
    plain value. With `takes_value` a setting that is true or false is given as such, not by flags.
    """
    metadata = {
        "help": help,
        "check": check,
        "flag": flag,
        "choices": choices,
        "metavar": metavar,
        "shown_default": shown_default,
        "takes_value": takes_value,
    }
    if factory is not None:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)


def alternatives(declared: Field[Any]) -> list[Any]:
    """The types that a setting's value may have, None left out."""
    hint: Any = declared.type
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return [member for member in members if member is not type(None)]


def plain_types(declared: Field[Any]) -> list[type]:
    """The plain types that a setting's values have; none where its type is more than `PLAIN_TYPES` can tell."""
    origins = [get_origin(member) or member for member in alternatives(declared)]
    kinds = [str if origin is Literal else origin for origin in origins]
    return kinds if all(kind in PLAIN_TYPES for kind in kinds) else []


def choices(declared: Field[Any]) -> Sequence[str]:
    """The only texts that a setting may be; none where it may be any."""
    for member in alternatives(declared):
        if get_origin(member) is Literal:
            return get_args(member)
    given: Sequence[str] = declared.metadata.get("choices", ())
    return given


def problem_with(declared: Field[Any], value: object) -> str | None:
    """What is wrong with a setting's value, or None. A log level may also be given as a number."""
    if value is None:
        return None if type(None) in get_args(declared.type) else "a value is needed"
    kinds = plain_types(declared)
    if kinds and not _fits(value, kinds):
        return f"{value!r} is not {' or '.join(PLAIN_TYPES[kind] for kind in kinds)}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a finite number"
    allowed = choices(declared)
    if allowed and isinstance(value, str) and value not in allowed:
        return f"{value!r} is not one of {', '.join(allowed)}"
    check: Check | None = declared.metadata.get("check")
    return check(value) if check else None


def _fits(value: object, kinds: Sequence[type]) -> bool:
    """Whether a value is of one of these types, where true is no number, text no list, and 1 is a number too."""
    if isinstance(value, (bool, str)):
        return type(value) in kinds
    return isinstance(value, tuple(kinds)) or (float in kinds and isinstance(value, int))
