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


def is_plain(declared: Field[Any]) -> bool:
    """Whether the types of a setting's values are none but texts that it may be, and `PLAIN_TYPES`."""
    return all(get_origin(member) is Literal or kind_of(member) in PLAIN_TYPES for member in alternatives(declared))


def kind_of(member: Any) -> Any:
    """A type without what it is a list of."""
    return get_origin(member) or member


def choices(declared: Field[Any]) -> Sequence[str]:
    """The only texts that a setting may be; none where it may be any."""
    for member in alternatives(declared):
        if get_origin(member) is Literal:
            return get_args(member)
    given: Sequence[str] = declared.metadata.get("choices", ())
    return given


def several(value: Sequence[str] | str | None) -> list[str]:
    """The texts of a setting that may be one or a list of them, without empty ones."""
    members = [value] if isinstance(value, str) else value or ()
    return [str(member) for member in members if str(member)]


def problem_with(declared: Field[Any], value: object) -> str | None:
    """What is wrong with a setting's value, or None. A log level may also be given as a number."""
    members = alternatives(declared)
    if value is None:
        return None if type(None) in get_args(declared.type) else "a value is needed"
    if is_plain(declared) and not any(_fits(value, member) for member in members):
        return f"{value!r} is not {' or '.join(map(_described, members))}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a finite number"
    allowed = choices(declared)
    if allowed and isinstance(value, str) and value not in allowed:
        return f"{value!r} is not {_one_of(allowed)}"
    check: Check | None = declared.metadata.get("check")
    return check(value) if check else None


def _fits(value: object, member: Any) -> bool:
    """Whether a value is of this type, where true is no number, text no list, and 1 is a number too."""
    if get_origin(member) is Literal:
        return value in get_args(member)
    kind = kind_of(member)
    if isinstance(value, (bool, str)):
        return type(value) is kind
    return isinstance(value, kind) or (kind is float and isinstance(value, int))


def _described(member: Any) -> str:
    """What a value of this type is."""
    return _one_of(get_args(member)) if get_origin(member) is Literal else PLAIN_TYPES[kind_of(member)]


def _one_of(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"one of {', '.join(texts)}"
