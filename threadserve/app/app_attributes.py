"""The attributes of an application that several loops share, and those of them that its start-ups set.

Runs on the loop thread whose start-up is watched, before and after it; other threads may change the application
meanwhile. It owns nothing and changes nothing.
"""

import dis
import inspect
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import CodeType, MethodType, SimpleNamespace
from typing import Any
from uuid import UUID

from threadserve.instances.project import is_library_module

# The names that wrappers have for the application: Starlette's and most others', Socket.IO's, Channels', common ones.
WRAPPED_APP_ATTRIBUTES = ("app", "other_asgi_app", "inner", "application")
# Values of these types may overwrite each other without harm: a version, a counter, the time of the start.
PLAIN_TYPES = (type(None), str, bytes, int, float, complex, Decimal, Enum, date, time, timedelta, UUID, PurePath)


@dataclass(frozen=True)
class Attribute:
    """A value set on an application, labelled as the application's author writes it.

    `owner` is the class of the object whose attribute `name` it is; None for an entry of another attribute, such as
    those of `app.state`.
    """

    label: str
    value: object
    name: str = ""
    owner: type | None = None


Attributes = dict[tuple[int, str], Attribute]


def collect_attributes(app: object) -> Attributes:
    """Return the attributes of an application, its wrappers, its mounted applications, and its `state` and dicts.

    A key identifies the object and the attribute.
    """
    found: Attributes = {}
    for link, prefix, place in iterate_app_objects(app):
        for name, value in get_members(link).items():
            label = f"{prefix}.{name}"
            found[id(link), name] = Attribute(f"{label}{place}", value, name, type(link))
            for key, entry in get_entries(name, value).items():
                found[id(link), f"{name}{key}"] = Attribute(f"{label}{key}{place}", entry)
    return found


def find_changes(before: Attributes, after: Attributes) -> Attributes:
    """Return the attributes that were set in between, except plain values and values equal to those before."""
    return {
        key: now
        for key, now in after.items()
        if not isinstance(now.value, PLAIN_TYPES)
        and not (key in before and is_equivalent(before[key].value, now.value))
    }


def is_equivalent(one: object, other: object) -> bool:
    """Return whether two objects are interchangeable, such as equal lists or settings."""
    if one is other or type(one) is not type(other):
        return one is other
    try:
        return bool(one == other)
    except Exception:
        # The comparison of arrays, for instance, has no truth value.
        return False


def is_set_by_framework(attribute: Attribute) -> bool:
    """Return whether a framework sets the attribute on its own application, such as Quart's `shutdown_event`."""
    if attribute.owner is None:
        return False
    libraries = [cls for cls in attribute.owner.__mro__ if is_library_module(cls.__module__)]
    return any(attribute.name in vars(cls) or attribute.name in find_assigned_names(cls) for cls in libraries)


def unwrap_app(app: object) -> object:
    """Return the application inside all its wrappers."""
    return list_wrapped_apps(app)[-1]


def list_wrapped_apps(app: object) -> list[object]:
    """Return an application's wrappers, the outermost first, and the application."""
    chain: list[object] = []
    while app is not None and not any(app is link for link in chain):
        chain.append(app)
        inner = next((inner for name in WRAPPED_APP_ATTRIBUTES if callable(inner := get_or_none(app, name))), None)
        app = inner.__self__ if isinstance(inner, MethodType) else inner
    return chain


def iterate_app_objects(
    app: object, place: str = "", seen: tuple[object, ...] = ()
) -> Iterator[tuple[object, str, str]]:
    """Yield all objects of an application, each with its name and with where it is mounted."""
    chain = list_wrapped_apps(app)
    for link in chain:
        yield link, "app" if link is chain[-1] else type(link).__name__, place
    routes = get_or_none(chain[-1], "routes")
    for route in list(routes) if isinstance(routes, list) else ():
        mounted = get_or_none(route, "app")
        # Only mounted applications have routes of their own.
        if get_or_none(route, "routes") is not None and not any(mounted is other for other in (*seen, *chain)):
            path = get_or_none(route, "path") or get_or_none(route, "host")
            yield from iterate_app_objects(mounted, f" (mounted at {path})", (*seen, *chain))


def get_or_none(holder: object, name: str) -> Any:
    """Return an attribute, or None. A proxy may raise anything."""
    try:
        return getattr(holder, name, None)
    except Exception:
        return None


def get_members(holder: object) -> dict[str, object]:
    """Return the attributes set on an object itself, in its slots and its dict."""
    members: dict[str, object] = {}
    for cls in type(holder).__mro__:
        for name, slot in vars(cls).items():
            if inspect.ismemberdescriptor(slot) and not name.startswith("__"):
                with suppress(AttributeError):
                    members[name] = slot.__get__(holder)
    return members | dict(get_or_none(holder, "__dict__") or {})


def get_entries(name: str, value: object) -> dict[str, object]:
    """Return the entries of a container attribute, by the suffix that follows the attribute's name."""
    if isinstance(value, dict):
        return {f"[{getattr(key, '__qualname__', repr(key))}]": entry for key, entry in dict.copy(value).items()}
    if name == "state" or isinstance(value, SimpleNamespace):
        members = get_members(value)
        # The states of Starlette and Litestar keep their entries in a dict.
        inner = members.get("_state")
        return {f".{key}": entry for key, entry in (inner.copy() if isinstance(inner, dict) else members).items()}
    return {}


def find_assigned_names(cls: type) -> set[str]:
    """Return the names of all attributes that a class' own methods set, on any object."""
    functions = (inspect.unwrap(getattr(member, "__func__", member)) for member in vars(cls).values())
    codes = [function.__code__ for function in functions if inspect.isfunction(function)]
    names: set[str] = set()
    while codes:
        code = codes.pop()
        names.update(step.argval for step in dis.get_instructions(code) if step.opname == "STORE_ATTR")
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return names
