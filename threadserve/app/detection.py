"""Detection of an application's interface from its signature.

Runs on the loop thread that loads the application. It owns nothing and never calls what it looks at. In doubt it says
ASGI 3, because a wrapper may accept any arguments.
"""

import inspect
from types import ModuleType
from typing import Literal

from threadserve.types import AnyApp

ASGI_SIGNATURE = "async def app(scope, receive, send)"
ASYNC_FACTORY = "is async; a factory is a plain function, and what it would await belongs in the lifespan"


def is_factory(target: object) -> bool:
    """Return whether this is called without arguments to get the application; no application can be called so.

    A class counts if its instances are made without arguments and are not awaited (`main:App` in place of
    `main:App()`), and a decorated function counts as the function that it wraps.
    """
    signature = _read_signature(target, follow_wrapped=True)
    if signature is None or _is_async(target):
        return False
    takes_any = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in signature.parameters.values())
    return _can_bind(signature, 0) and not takes_any


def detect_interface(app: AnyApp) -> Literal["asgi3", "asgi2", "wsgi"]:
    """Return an application's interface: ASGI 2 if it takes the scope alone and is not async, WSGI if it takes two."""
    signature = _read_signature(app)
    if signature is None or _is_async(app):
        return "asgi3"
    if not _can_bind(signature, 1):
        return "wsgi" if _can_bind(signature, 2) and not _can_bind(signature, 3) else "asgi3"
    return "asgi2" if inspect.isclass(app) or not _can_bind(signature, 3) else "asgi3"


def find_factory_mistake(target: object) -> str | None:
    """Return the mistake in a factory, as the end of a sentence that begins with its name, or None."""
    if not callable(target):
        return _describe_not_callable(target)
    if inspect.iscoroutinefunction(target) and _accepts(target, 0):
        return ASYNC_FACTORY
    if not _accepts(target, 0):
        return "cannot be called without arguments; if it is the application and no factory, leave out --factory"
    return None


def find_app_mistake(app: object, interface: str) -> str | None:
    """Return the mistake in an application, as the end of a sentence that begins with its name, or None.

    `interface` is the setting; an interface that a setting names is not checked.
    """
    if not callable(app):
        return _describe_not_callable(app)
    if interface != "auto":
        return None
    if inspect.iscoroutinefunction(app) and _accepts(app, 0) and not _accepts(app, 3):
        return find_factory_mistake(app)
    if inspect.iscoroutinefunction(app) and _accepts(app, 2) and not _accepts(app, 3):
        remedy = "if these are message and channels add --interface channels"
        return f"takes two arguments; {remedy}, else it is {ASGI_SIGNATURE}"
    if not _accepts(app, 3) and (_is_async(app) or not (_accepts(app, 1) or _accepts(app, 2))):
        return f"cannot be called with three arguments; an ASGI application is {ASGI_SIGNATURE}"
    if _is_plain_function(app) and detect_interface(app) == "asgi3":
        remedy = "if this returns an awaitable add --interface asgi3"
        return f"is not async; an ASGI application is {ASGI_SIGNATURE}, and {remedy}"
    return None


def _describe_not_callable(target: object) -> str:
    if isinstance(target, ModuleType):
        return f"is a module, not an application; did you mean {target.__name__}:app?"
    kind = "None" if target is None else f"of the type {type(target).__qualname__}"
    return f"is {kind}, which cannot be called; an ASGI application is {ASGI_SIGNATURE}"


def _is_async(target: object) -> bool:
    """Return whether calling this returns an awaitable, by Uvicorn's rules, with partials unwrapped."""
    if inspect.isclass(target):
        return hasattr(target, "__await__")
    return inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(type(target).__call__)


def _is_plain_function(app: object) -> bool:
    """Return whether this is a function of exactly three arguments that is not async and wraps no async function."""
    signature = _read_signature(app)
    exact = signature is not None and not _can_bind(signature, 4)
    return exact and inspect.isfunction(app) and not _is_async(inspect.unwrap(app))


def _accepts(target: object, count: int) -> bool:
    """Return whether this can be called with so many arguments, True if that cannot be told."""
    signature = _read_signature(target)
    return signature is None or _can_bind(signature, count)


def _read_signature(target: object, *, follow_wrapped: bool = False) -> inspect.Signature | None:
    """Return the signature of a callable itself, even if it wraps another; None if it has none.

    `inspect` may raise anything here, because it runs code of the application's classes and, from Python 3.14 on, its
    annotations.
    """
    if not callable(target):
        return None
    try:
        return inspect.signature(target, follow_wrapped=follow_wrapped)
    except Exception:
        return None


def _can_bind(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True
