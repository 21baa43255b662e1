"""What the admin address answers: an ASGI application of our own.

Runs on the admin thread, on a loop of its own. It owns nothing but its way to what it shows, and changes nothing.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Protocol

from threadserve.admin.page import PAGE
from threadserve.admin.prometheus import CONTENT_TYPE, exposition
from threadserve.admin.status import status_of
from threadserve.metrics.states import Detail, Overview
from threadserve.types import Receive, Scope, Send

PLAIN = b"text/plain; charset=utf-8"
JSON = b"application/json"
HTML = b"text/html; charset=utf-8"

Answer = tuple[int, bytes, str]


class Source(Protocol):
    """What tells of the server."""

    async def look(self, detail: Detail) -> Overview:
        """How the server is now, with so much of it."""
        ...


class AdminApp:
    """Answers GET and HEAD for the paths in `PATHS`, and nothing else."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application (ASGI HTTP spec 2.3)."""
        status, content_type, text = await self._answer(scope["method"], scope["path"])
        fields = [(b"content-type", content_type), (b"cache-control", b"no-store")]
        if content_type == HTML:
            # Nothing from elsewhere, and nowhere else.
            fields += [(b"content-security-policy", PAGE.policy.encode()), (b"x-frame-options", b"DENY")]
        fields += [(b"allow", b"GET, HEAD")] if status == 405 else []
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": text.encode("utf-8", "backslashreplace")})

    async def _answer(self, method: str, path: str) -> Answer:
        answer = PATHS.get(path)
        if answer is None:
            return 404, PLAIN, f"Not found. There are {', '.join(PATHS)}.\n"
        if method not in ("GET", "HEAD"):
            return 405, PLAIN, "Only GET and HEAD: nothing can be changed here.\n"
        return await answer(self._source)


async def livez(source: Source) -> Answer:
    """Whether the server is to be left alone, or to be ended and started again."""
    return health((await source.look(Detail.HEALTH)).why_not_alive(), "alive")


async def readyz(source: Source) -> Answer:
    """Whether requests are to be sent here."""
    return health((await source.look(Detail.HEALTH)).why_not_ready(), "ready")


def health(problem: str, well: str) -> Answer:
    """The answer to whether all is well."""
    return (503, PLAIN, f"{problem}\n") if problem else (200, PLAIN, f"{well}\n")


async def metrics(source: Source) -> Answer:
    """Prometheus' text."""
    return 200, CONTENT_TYPE, exposition(await source.look(Detail.NUMBERS))


async def status(source: Source) -> Answer:
    """The page for people, which asks for `/status.json` again and again."""
    return 200, HTML, PAGE.text


async def status_json(source: Source) -> Answer:
    """What the page shows."""
    return 200, JSON, json.dumps(status_of(await source.look(Detail.CALLS)), indent=1) + "\n"


PATHS: dict[str, Callable[[Source], Awaitable[Answer]]] = {
    "/livez": livez,
    "/readyz": readyz,
    "/metrics": metrics,
    "/status": status,
    "/status.json": status_json,
}
