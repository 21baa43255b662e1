"""What start-ups set on an application, and by what name that is told."""

import asyncio
import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Host, Mount, Route

from threadserve.app.app_attributes import collect_attributes, find_changes, is_set_by_framework, unwrap_app
from threadserve.app.asgi2 import ASGI2Adapter


class Own:
    """An application of one's own, with what wraps one too."""

    kind: object = None

    def __init__(self, app: Any = None, **attributes: Any) -> None:
        self.app = app
        vars(self).update(attributes)

    async def __call__(self, *args: Any) -> None:
        """Does nothing."""

    def connect(self) -> None:
        """Sets an attribute in a method of the class, as a framework does; but it is none."""
        self.client = object()


class Slotted:
    """An application with slots."""

    __slots__ = ("_hidden", "client")

    async def __call__(self, *args: Any) -> None:
        """Does nothing."""


async def function(*args: Any) -> None:
    """An application that is a function."""


class Proxy:
    """Something that is not there yet, and says so whatever it is asked."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("outside of a context")

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("outside of a context")

    async def __call__(self, *args: Any) -> None:
        """Does nothing."""


@dataclass
class Settings:
    """Settings that are equal if what they say is; `client` makes the difference."""

    name: str
    client: object = None


def client() -> None:
    """What is overridden."""


def labels(app: Any, start_up: Callable[[], object]) -> set[str]:
    """What a start-up sets on an application."""
    before = collect_attributes(app)
    start_up()
    return {attribute.label for attribute in find_changes(before, collect_attributes(app)).values()}


def setting(holder: Any, name: str, *value: Any) -> Callable[[], object]:
    """Sets an attribute, to an object of its own if no value is given."""
    return functools.partial(setattr, holder, name, *(value or [object()]))


@pytest.mark.parametrize("app", [Own(), Slotted(), function, Starlette()], ids=lambda app: type(app).__name__)
def test_attribute_of_an_application_that_is(app: Any) -> None:
    assert labels(app, setting(app, "client")) == {"app.client"}
    assert labels(app, setting(app, "client")) == {"app.client"}
    assert labels(app, setting(app, "_hidden")) == {"app._hidden"}
    assert labels(app, lambda: None) == set()


@pytest.mark.parametrize(
    ("state", "label"),
    [(Starlette().state, "app.state.client"), (SimpleNamespace(), "app.state.client"), (Own(), "app.state.client")],
    ids=["Starlette", "SimpleNamespace", "own"],
)
def test_attribute_of_its_state(state: Any, label: str) -> None:
    app = Own(state=state)
    assert labels(app, setting(state, "client")) == {label}
    assert labels(app, setting(state, "client")) == {label}


def test_attribute_of_another_namespace_or_item_of_a_dict() -> None:
    app = Own(context=SimpleNamespace(), config={}, overrides={})
    assert labels(app, setting(app.context, "client")) == {"app.context.client"}  # type: ignore[attr-defined]
    assert labels(app, lambda: app.config.update(CLIENT=object())) == {"app.config['CLIENT']"}  # type: ignore[attr-defined]
    assert labels(app, lambda: app.overrides.update({client: object()})) == {"app.overrides[client]"}  # type: ignore[attr-defined]


def test_application_in_what_wraps_it() -> None:
    app = Starlette()
    wrapped = Own(CORSMiddleware(app))
    assert unwrap_app(wrapped) is app
    assert unwrap_app(ASGI2Adapter(wrapped)) is app  # type: ignore[arg-type]
    assert unwrap_app(Own(app.__call__)) is app
    assert labels(wrapped, setting(app.state, "client")) == {"app.state.client"}
    assert labels(wrapped, setting(wrapped, "client")) == {"Own.client"}


def test_application_that_wraps_itself() -> None:
    app = Own()
    app.app = app
    assert labels(app, setting(app, "client")) == {"app.client"}


def test_applications_that_are_mounted() -> None:
    admin, inner, hosted = Starlette(), Own(), Starlette()
    admin.mount("/deep", inner)
    app = Starlette(
        routes=[Route("/", function), Mount("/admin", CORSMiddleware(admin)), Host("api.example.org", hosted)]
    )
    admin.mount("/up", app)
    for place, holder, label in [
        ("/admin", admin.state, "app.state.client"),
        ("/deep", inner, "app.client"),
        ("api.example.org", hosted.state, "app.state.client"),
    ]:
        assert labels(app, setting(holder, "client")) == {f"{label} (mounted at {place})"}


@pytest.mark.parametrize("value", [("a", 1), {"a": [1]}, {1}, SimpleNamespace(a=1), Settings("a")], ids=repr)
def test_equal_values_make_no_difference(value: Any) -> None:
    app = Own(value=value)
    assert labels(app, setting(app, "value", copy.deepcopy(value))) == set()


@pytest.mark.parametrize(
    ("one", "other"),
    [("1", "2"), (1, 2), (1.5, True), (object(), None), (datetime.min, datetime.max), (Path("a"), Path("b"))],
    ids=lambda value: type(value).__name__,
)
def test_plain_values_harm_nobody(one: Any, other: Any) -> None:
    app = Own(value=one)
    assert labels(app, setting(app, "value", other)) == set()
    assert labels(app, setting(app, "new", other)) == set()


class Array(list[int]):
    """Elements that are compared one by one."""

    def __eq__(self, other: object) -> Any:
        raise ValueError("the truth of an array is ambiguous")

    __hash__ = None


@pytest.mark.parametrize(
    "make",
    [object, asyncio.Lock, lambda: [object()], lambda: Settings("a", object()), lambda: Array([1])],
    ids=["object", "lock", "list", "settings", "array"],
)
def test_objects_of_their_own_make_a_difference(make: Callable[[], Any]) -> None:
    app = Own(value=make())
    assert labels(app, setting(app, "value", make())) == {"app.value"}


def test_what_a_framework_notes_on_its_application() -> None:
    app = Starlette()
    before = collect_attributes(app)
    app.middleware_stack = app.build_middleware_stack()
    app.client = object()  # type: ignore[attr-defined]
    app.state.middleware_stack = object()
    seen = find_changes(before, collect_attributes(app)).values()
    noted = {attribute.label: is_set_by_framework(attribute) for attribute in seen}
    assert noted == {"app.middleware_stack": True, "app.client": False, "app.state.middleware_stack": False}


def test_what_a_class_of_ones_own_sets_on_itself_is_no_frameworks() -> None:
    app = Own()
    before = collect_attributes(app)
    app.connect()
    app.kind = object()
    assert {one.label: is_set_by_framework(one) for one in find_changes(before, collect_attributes(app)).values()} == {
        "app.client": False,
        "app.kind": False,
    }


def test_what_a_subclass_of_ones_own_adds_to_a_frameworks() -> None:
    class App(Starlette):
        def connect(self) -> None:
            self.client = object()
            self.middleware_stack = None

    app = App()
    before = collect_attributes(app)
    app.middleware_stack = app.build_middleware_stack()
    app.connect()
    [attribute] = find_changes(before, collect_attributes(app)).values()
    assert attribute.label == "app.client"
    assert not is_set_by_framework(attribute)


def test_proxy_that_raises() -> None:
    assert unwrap_app(Own(Proxy())).__class__ is Proxy
    assert labels(Own(Proxy()), lambda: None) == set()
