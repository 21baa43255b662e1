"""The types that the server and its applications share: those of ASGI 3.0, of WSGI, and of data files.

Runs on no thread: it holds names only, and never any behaviour.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from datetime import date, datetime, time
from typing import Any, TypeVarTuple

# ASGI, WSGI and `logging.config` leave it to each key what its value is: hence Any.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
ASGI2App = Callable[[Scope], Callable[[Receive, Send], Awaitable[None]]]
# An application of any interface, or the factory of one.
AnyApp = Callable[..., Any]

# The dicts that the server makes: a connection scope, its "extensions", and what the lifespan puts into its "state".
ConnectionScope = dict[str, Any]
Extensions = dict[str, object]
LifespanState = dict[str, Any]
Environ = dict[str, Any]

Field = tuple[bytes, bytes]
Headers = list[Field]
Address = tuple[str, int]
LocalAddress = tuple[str, int | None]

JSON = dict[str, "JSON"] | list["JSON"] | str | float | bool | None
TOML = dict[str, "TOML"] | list["TOML"] | str | float | bool | datetime | date | time
# The settings of `Config` by their names, each of its own type.
SettingValues = dict[str, Any]
# The argument of `logging.config.dictConfig`.
LoggingDict = dict[str, Any]

# The arguments of a call that another thread makes.
Arguments = TypeVarTuple("Arguments")
