"""The types that an ASGI server and its applications share (ASGI 3.0).

Runs on no thread: it holds names only, and never any behaviour.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
ASGI2App = Callable[[Scope], Callable[[Receive, Send], Awaitable[None]]]

Field = tuple[bytes, bytes]
Headers = list[Field]
Address = tuple[str, int]
LocalAddress = tuple[str, int | None]
