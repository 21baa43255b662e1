"""What the admin address answers: an ASGI application of our own.

Runs on the admin thread, on a loop of its own. It owns nothing but its way to what it shows, and changes nothing.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Protocol

from threadserve.admin.page import PAGE
from threadserve.admin.prometheus import CONTENT_TYPE, format_metrics
from threadserve.admin.status import state_to_json
from threadserve.metrics.states import Detail, ServerState
from threadserve.types import Receive, Scope, Send

TEXT_TYPE = b"text/plain; charset=utf-8"
JSON_TYPE = b"application/json"
HTML_TYPE = b"text/html; charset=utf-8"

AdminResponse = tuple[int, bytes, str]


class StateSource(Protocol):
    """What tells of the server."""

    async def look(self, detail: Detail) -> ServerState:
        """How the server is now, with so much of it."""
        ...


class AdminApp:
    """Answers GET and HEAD for the paths in `ENDPOINTS`, and nothing else."""

    def __init__(self, source: StateSource) -> None:
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application (ASGI HTTP spec 2.3)."""
        status, content_type, text = await self._answer(scope["method"], scope["path"])
        fields = [(b"content-type", content_type), (b"cache-control", b"no-store")]
        if content_type == HTML_TYPE:
            # Nothing from elsewhere, and nowhere else.
            fields += [(b"content-security-policy", PAGE.policy.encode()), (b"x-frame-options", b"DENY")]
        fields += [(b"allow", b"GET, HEAD")] if status == 405 else []
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": text.encode("utf-8", "backslashreplace")})

    async def _answer(self, method: str, path: str) -> AdminResponse:
        answer = ENDPOINTS.get(path)
        if answer is None:
            return 404, TEXT_TYPE, f"Not found. There are {', '.join(ENDPOINTS)}.\n"
        if method not in ("GET", "HEAD"):
            return 405, TEXT_TYPE, "Only GET and HEAD: nothing can be changed here.\n"
        return await answer(self._source)


async def respond_livez(source: StateSource) -> AdminResponse:
    """Whether the server is to be left alone, or to be ended and started again."""
    return respond_health((await source.look(Detail.HEALTH)).why_not_alive(), "alive")


async def respond_readyz(source: StateSource) -> AdminResponse:
    """Whether requests are to be sent here."""
    return respond_health((await source.look(Detail.HEALTH)).why_not_ready(), "ready")


def respond_health(problem: str, well: str) -> AdminResponse:
    """The answer to whether all is well."""
    return (503, TEXT_TYPE, f"{problem}\n") if problem else (200, TEXT_TYPE, f"{well}\n")


async def respond_metrics(source: StateSource) -> AdminResponse:
    """Prometheus' text."""
    return 200, CONTENT_TYPE, format_metrics(await source.look(Detail.NUMBERS))


async def respond_status_page(source: StateSource) -> AdminResponse:
    """The page for people, which asks for `/status.json` again and again."""
    return 200, HTML_TYPE, PAGE.text


async def respond_status_json(source: StateSource) -> AdminResponse:
    """What the page shows."""
    return 200, JSON_TYPE, json.dumps(state_to_json(await source.look(Detail.CALLS)), indent=1) + "\n"


ENDPOINTS: dict[str, Callable[[StateSource], Awaitable[AdminResponse]]] = {
    "/livez": respond_livez,
    "/readyz": respond_readyz,
    "/metrics": respond_metrics,
    "/status": respond_status_page,
    "/status.json": respond_status_json,
}
