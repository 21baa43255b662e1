"""What an application that several loops share keeps on itself, and what of it its start-ups set.

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

# What those that wrap an application call it: Starlette and most others, Socket.IO, Channels, and some of one's own.
WRAPPED_APP_ATTRIBUTES = ("app", "other_asgi_app", "inner", "application")
# What can be overwritten by another of its kind and nobody is harmed: a version, a counter, the time of the start.
PLAIN_TYPES = (type(None), str, bytes, int, float, complex, Decimal, Enum, date, time, timedelta, UUID, PurePath)


@dataclass(frozen=True)
class Attribute:
    """Something set on an application: its value, and its name as the application's author writes it.

    `owner` is the class of the object whose attribute `name` it is, None for an entry of another attribute, such as
    what is set on `app.state`.
    """

    label: str
    value: Any
    name: str = ""
    owner: type | None = None


Attributes = dict[tuple[int, str], Attribute]


def collect_attributes(app: Any) -> Attributes:
    """All attributes of an application, of what wraps it, of what is mounted on it, and of its `state` and dicts.

    The keys are what tells an attribute of one object from that of another.
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
    """What was set between, but for plain values and what is equal to what was there."""
    return {
        key: now
        for key, now in after.items()
        if not isinstance(now.value, PLAIN_TYPES)
        and not (key in before and is_equivalent(before[key].value, now.value))
    }


def is_equivalent(one: Any, other: Any) -> bool:
    """Whether it makes no difference which of two objects is there, as of lists or settings that are equal."""
    if one is other or type(one) is not type(other):
        return one is other
    try:
        return bool(one == other)
    except Exception:
        # An array, for instance, has no such answer.
        return False


def is_set_by_framework(attribute: Attribute) -> bool:
    """Whether it is a framework that sets the attribute on its own application, such as Quart's `shutdown_event`."""
    if attribute.owner is None:
        return False
    libraries = [cls for cls in attribute.owner.__mro__ if is_library_module(cls.__module__)]
    return any(attribute.name in vars(cls) or attribute.name in find_assigned_names(cls) for cls in libraries)


def unwrap_app(app: Any) -> Any:
    """The application in all that wraps it."""
    return list_wrapped_apps(app)[-1]


def list_wrapped_apps(app: Any) -> list[Any]:
    """An application from what wraps it to itself."""
    chain: list[Any] = []
    while app is not None and not any(app is link for link in chain):
        chain.append(app)
        inner = next((inner for name in WRAPPED_APP_ATTRIBUTES if callable(inner := get_or_none(app, name))), None)
        app = inner.__self__ if isinstance(inner, MethodType) else inner
    return chain


def iterate_app_objects(app: Any, place: str = "", seen: tuple[Any, ...] = ()) -> Iterator[tuple[Any, str, str]]:
    """All objects of an application, each with what it is called, and where it is mounted."""
    chain = list_wrapped_apps(app)
    for link in chain:
        yield link, "app" if link is chain[-1] else type(link).__name__, place
    routes = get_or_none(chain[-1], "routes")
    for route in list(routes) if isinstance(routes, list) else ():
        mounted = get_or_none(route, "app")
        # Only what is mounted has routes of its own.
        if get_or_none(route, "routes") is not None and not any(mounted is other for other in (*seen, *chain)):
            path = get_or_none(route, "path") or get_or_none(route, "host")
            yield from iterate_app_objects(mounted, f" (mounted at {path})", (*seen, *chain))


def get_or_none(holder: Any, name: str) -> Any:
    """An attribute, or None; a proxy may raise anything."""
    try:
        return getattr(holder, name, None)
    except Exception:
        return None


def get_members(holder: Any) -> dict[str, Any]:
    """What is set on an object itself, in its slots and its dict."""
    members: dict[str, Any] = {}
    for cls in type(holder).__mro__:
        for name, slot in vars(cls).items():
            if inspect.ismemberdescriptor(slot) and not name.startswith("__"):
                with suppress(AttributeError):
                    members[name] = slot.__get__(holder)
    return members | dict(get_or_none(holder, "__dict__") or {})


def get_entries(name: str, value: Any) -> dict[str, Any]:
    """What an attribute that is made to hold others holds, each by what is written behind the attribute's name."""
    if isinstance(value, dict):
        return {f"[{getattr(key, '__qualname__', repr(key))}]": entry for key, entry in dict.copy(value).items()}
    if name == "state" or isinstance(value, SimpleNamespace):
        members = get_members(value)
        # Starlette and Litestar keep what is set on a state in a dict of it.
        inner = members.get("_state")
        return {f".{key}": entry for key, entry in (inner.copy() if isinstance(inner, dict) else members).items()}
    return {}


def find_assigned_names(cls: type) -> set[str]:
    """The names of all attributes that a class' own methods set, on whatever object."""
    functions = (inspect.unwrap(getattr(member, "__func__", member)) for member in vars(cls).values())
    codes = [function.__code__ for function in functions if inspect.isfunction(function)]
    names: set[str] = set()
    while codes:
        code = codes.pop()
        names.update(step.argval for step in dis.get_instructions(code) if step.opname == "STORE_ATTR")
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return names
