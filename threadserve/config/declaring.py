"""The declaration of a setting, and the check of a value against it.

Runs on whichever thread makes a configuration. It owns nothing and never changes a value.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, field
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from threadserve.config.checks import Check

# The types that a value is checked against, with what an error calls them.
TYPE_NAMES: dict[object, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Sequence: "a list",
    dict: "a dict",
    os.PathLike: "a path",
}

# As good as never, and within threading.TIMEOUT_MAX.
MAX_TIMEOUT_SECONDS = 10**9


def setting(
    default: object = MISSING,
    help: str = "",
    *,
    factory: Callable[[], object] | None = None,
    check: Check | None = None,
    flag: str = "",
    choices: Sequence[str] = (),
    metavar: str = "",
    shown_default: str = "",
    takes_value: bool = False,
) -> Any:
    """Declare one setting that is on the command line too.

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


def value_types(declared: Field[object]) -> list[object]:
    """Return the types that a setting's value may have, without None."""
    hint: object = declared.type
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return [member for member in members if member is not type(None)]


def allowed_texts(declared: Field[object]) -> Sequence[str]:
    """Return the only texts that a setting may be, or nothing where it may be any."""
    for member in value_types(declared):
        if get_origin(member) is Literal:
            return get_args(member)
    choices: Sequence[str] = declared.metadata.get("choices", ())
    return choices


def list_texts(value: Sequence[str] | str | None) -> list[str]:
    """Return the texts of a setting that may be one or a list of them, without empty ones."""
    members = [value] if isinstance(value, str) else value or ()
    return [str(member) for member in members if str(member)]


def find_problem(declared: Field[object], value: object) -> str | None:
    """Return what is wrong with a setting's value, or None. A log level may also be given as a number."""
    types = value_types(declared)
    if value is None:
        return None if type(None) in get_args(declared.type) else "a value is needed"
    if _can_check_types(types) and not any(_has_type(value, each) for each in types):
        return f"{value!r} is not {' or '.join(map(_name_type, types))}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a finite number"
    allowed = allowed_texts(declared)
    if allowed and isinstance(value, str) and value not in allowed:
        return f"{value!r} is not {_name_choices(allowed)}"
    check: Check | None = declared.metadata.get("check")
    return check(value) if check else None


def _can_check_types(types: Sequence[object]) -> bool:
    """Return whether all of these types are lists of texts or in `TYPE_NAMES`."""
    return all(get_origin(each) is Literal or _without_members(each) in TYPE_NAMES for each in types)


def _has_type(value: object, wanted: object) -> bool:
    """Return whether a value is of this type, where true is no number, text no list, and 1 is a float too."""
    if get_origin(wanted) is Literal:
        return value in get_args(wanted)
    kind = _without_members(wanted)
    if isinstance(value, (bool, str)):
        return type(value) is kind
    return isinstance(value, kind) or (kind is float and isinstance(value, int))


def _name_type(wanted: object) -> str:
    return _name_choices(get_args(wanted)) if get_origin(wanted) is Literal else TYPE_NAMES[_without_members(wanted)]


def _name_choices(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"one of {', '.join(texts)}"


def _without_members(wanted: object) -> Any:
    """Return a type without that of its members."""
    return get_origin(wanted) or wanted
