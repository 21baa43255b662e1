"""Which interface an application has, told from what it can be called with.

Runs on the loop thread that loads the application. It owns nothing and never calls what it looks at. Where it cannot
be sure it says ASGI 3, because a wrapper may accept anything.
"""

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal

ASGI_SIGNATURE = "async def app(scope, receive, send)"
ASYNC_FACTORY = "is async; a factory is a plain function, and what it would await belongs in the lifespan"


def is_factory(target: Any) -> bool:
    """Whether this is called without arguments to get the application, which no application can be.

    A class counts if its instances are made without arguments and are not awaited (`main:App` in place of
    `main:App()`), and a decorated function as the function that it wraps.
    """
    signature = _read_signature(target, follow_wrapped=True)
    if signature is None or _is_async(target):
        return False
    takes_any = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in signature.parameters.values())
    return _can_bind(signature, 0) and not takes_any


def detect_interface(app: Callable[..., Any]) -> Literal["asgi3", "asgi2", "wsgi"]:
    """The interface of an application: ASGI 2 if it is not async and takes the scope alone, WSGI if it takes two."""
    signature = _read_signature(app)
    if signature is None or _is_async(app):
        return "asgi3"
    if not _can_bind(signature, 1):
        return "wsgi" if _can_bind(signature, 2) and not _can_bind(signature, 3) else "asgi3"
    return "asgi2" if inspect.isclass(app) or not _can_bind(signature, 3) else "asgi3"


def find_factory_mistake(target: Any) -> str | None:
    """What is wrong with a factory, as the end of a sentence that begins with its name, or None."""
    if not callable(target):
        return _describe_not_callable(target)
    if inspect.iscoroutinefunction(target) and _accepts(target, 0):
        return ASYNC_FACTORY
    if not _accepts(target, 0):
        return "cannot be called without arguments; if it is the application and no factory, leave out --factory"
    return None


def find_app_mistake(app: Any, interface: str) -> str | None:
    """What is wrong with an application, as the end of a sentence that begins with its name, or None.

    `interface` is the setting: whoever names an interface is believed that the object has it.
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


def _is_async(target: Any) -> bool:
    """Whether calling this gives something to await, by Uvicorn's rules and with partials seen through."""
    if inspect.isclass(target):
        return hasattr(target, "__await__")
    return inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(type(target).__call__)


def _is_plain_function(app: Any) -> bool:
    """Whether this is a function that takes exactly three arguments, and neither is async nor wraps what is."""
    signature = _read_signature(app)
    exact = signature is not None and not _can_bind(signature, 4)
    return exact and inspect.isfunction(app) and not _is_async(inspect.unwrap(app))


def _accepts(target: Any, count: int) -> bool:
    """Whether something may be called with so many arguments, as far as can be told."""
    signature = _read_signature(target)
    return signature is None or _can_bind(signature, count)


def _read_signature(target: Any, *, follow_wrapped: bool = False) -> inspect.Signature | None:
    """The signature of a callable itself, even if it says that it wraps another; None where it cannot be told.

    `inspect` may raise anything here, as it runs what the application's classes define and, from Python 3.14 on, the
    annotations.
    """
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
