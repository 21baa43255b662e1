"""Which interface callables of every kind are taken for, and which are refused."""

import functools
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from threadserve.app.detection import detect_interface, find_app_mistake, is_factory


def stable_repr(value: object) -> str:
    """Return a test's id: the value's text without addresses, which differ from process to process."""
    return re.sub(" at 0x[0-9a-f]+", "", repr(value))


async def function(scope: Any, receive: Any, send: Any) -> None: ...


async def with_more(scope: Any, receive: Any, send: Any, extra: Any = None) -> None: ...


async def with_one_too_many(app: Any, scope: Any, receive: Any, send: Any) -> None: ...


class Instance:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    async def method(self, scope: Any, receive: Any, send: Any) -> None: ...


class Forwarding:
    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        return function(scope, receive, send)


class Awaited:
    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...

    def __await__(self) -> Any:
        return iter(())


def wrapper_of_anything(*args: Any, **kwargs: Any) -> Awaitable[None]:
    return function(*args, **kwargs)


@functools.wraps(function)
def honest_wrapper(scope: Any, receive: Any, send: Any) -> Awaitable[None]:
    return function(scope, receive, send)


def injecting(wrapped: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(wrapped)
    async def wrapper(scope: Any, receive: Any, send: Any) -> None:
        await wrapped("app", scope, receive, send)

    return wrapper


class Unreadable(Instance):
    @property
    def __signature__(self) -> Any:
        raise RuntimeError("no signature")


class OldClass:
    def __init__(self, scope: Any, debug: bool = False, name: str = "") -> None: ...

    async def __call__(self, receive: Any, send: Any) -> None: ...


class OldInstance:
    def __call__(self, scope: Any) -> Callable[..., Awaitable[None]]:
        return OldClass(scope)


def old_function(scope: Any) -> Callable[..., Awaitable[None]]:
    return OldClass(scope)


@pytest.mark.parametrize(
    "app",
    [
        function,
        with_more,
        Instance(),
        Instance().method,
        Forwarding(),
        Forwarding().__call__,
        Awaited,
        wrapper_of_anything,
        honest_wrapper,
        injecting(with_one_too_many),
        Unreadable(),
        functools.partial(function),
        functools.partial(with_one_too_many, "app"),
        functools.partial(Forwarding()),
        functools.lru_cache(function),
        print,
    ],
    ids=stable_repr,
)
def test_asgi3(app: Any) -> None:
    assert find_app_mistake(app, "auto") is None
    assert detect_interface(app) == "asgi3"
    assert not is_factory(app)


@pytest.mark.parametrize(
    "app", [OldClass, OldInstance(), old_function, functools.partial(OldClass, debug=True)], ids=stable_repr
)
def test_asgi2(app: Any) -> None:
    assert find_app_mistake(app, "auto") is None
    assert detect_interface(app) == "asgi2"
    assert not is_factory(app)


def wsgi(environ: Any, start_response: Any) -> Any: ...


class Wsgi:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


class WsgiResult:
    def __init__(self, environ: Any, start_response: Any) -> None: ...


@pytest.mark.parametrize("app", [wsgi, Wsgi(), Wsgi().__call__, WsgiResult, functools.partial(wsgi)], ids=stable_repr)
def test_wsgi(app: Any) -> None:
    assert find_app_mistake(app, "auto") is None
    assert detect_interface(app) == "wsgi"
    assert not is_factory(app)


def test_frameworks() -> None:
    from fastapi import FastAPI
    from starlette.applications import Starlette
    from starlette.middleware.gzip import GZipMiddleware
    from starlette.routing import Mount, Router
    from starlette.staticfiles import StaticFiles

    for app in (FastAPI(), Starlette(), Router(), GZipMiddleware(Starlette()), StaticFiles(check_dir=False)):
        assert find_app_mistake(app, "auto") is None
        assert detect_interface(app) == "asgi3"
        assert not is_factory(app)
    assert find_app_mistake(Mount("/", app=Starlette()).app, "auto") is None
    assert is_factory(Starlette)
    assert is_factory(FastAPI)


@functools.lru_cache
def cached_factory() -> Instance:
    return Instance()


def factory_with_options(debug: bool = False, name: str = "", testing: bool = False) -> Instance:
    return Instance()


class Provider:
    def __call__(self) -> Instance:
        return Instance()


@pytest.mark.parametrize(
    "target",
    [
        cached_factory,
        factory_with_options,
        Provider(),
        Instance,
        lambda: Instance(),
        functools.partial(factory_with_options, debug=True),
    ],
    ids=stable_repr,
)
def test_factory(target: Any) -> None:
    assert is_factory(target)


async def async_factory() -> Instance:
    return Instance()


async def one_argument(scope: Any) -> None: ...


def not_async(scope: Any, receive: Any, send: Any) -> None: ...


async def with_yield(scope: Any, receive: Any, send: Any) -> Any:
    yield


@pytest.mark.parametrize(
    ("app", "mistake"),
    [
        (not_async, "is not async; "),
        (lambda scope, receive, send: None, "is not async; "),
        (with_yield, "is not async; "),
        (OldClass({}), "cannot be called with three arguments; "),
        (one_argument, "cannot be called with three arguments; "),
        (with_one_too_many, "cannot be called with three arguments; "),
        (async_factory, "is async; a factory is a plain function"),
        (None, "is None, which cannot be called; "),
        ("main:app", "is of the type str, which cannot be called; "),
        (functools, "is a module, not an application; did you mean functools:app?"),
    ],
    ids=stable_repr,
)
def test_mistake(app: Any, mistake: str) -> None:
    line = find_app_mistake(app, "auto")
    assert line is not None
    assert line.startswith(mistake)
    assert "\n" not in line


@pytest.mark.parametrize("app", [not_async, wsgi, OldClass({})], ids=stable_repr)
@pytest.mark.parametrize("interface", ["asgi3", "asgi2", "wsgi"])
def test_nothing_is_detected_when_told(app: Any, interface: str) -> None:
    assert find_app_mistake(app, interface) is None


@pytest.mark.parametrize("interface", ["asgi3", "asgi2"])
def test_what_cannot_be_called_is_refused_even_when_told(interface: str) -> None:
    assert find_app_mistake(None, interface) is not None
